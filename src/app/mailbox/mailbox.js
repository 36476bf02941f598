// An extra: new messages appear, and deleted ones go, without a reload.
(function () {
  "use strict";
  var list = document.getElementById("messages");
  var blank = document.getElementById("blank");
  var live = document.getElementById("live");
  var all = document.getElementById("delete-all");
  all.addEventListener("submit", function (event) {
    if (!confirm("Delete all messages?")) event.preventDefault();
  });
  if (!list.dataset.events || !window.EventSource) return;
  var most = 1000; // on one page, however long it is open
  var address = list.dataset.events.split("=");
  var last = address[1]; // the number of the last event
  var source = null;

  function on(name, act) {
    source.addEventListener(name, function (event) {
      last = event.lastEventId || last;
      act(event.data);
    });
  }

  function open() {
    source = new EventSource(address[0] + "=" + last);
    source.addEventListener("open", function () { live.textContent = "New messages appear here automatically."; });
    source.addEventListener("error", function () { live.textContent = "The connection is lost; trying again."; });
    on("new", show);
    on("removed", remove);
    on("cleared", function () { list.replaceChildren(); });
    on("reload", function () { location.reload(); });
  }

  function size(bytes) {
    var tenth = function (unit) { return Math.floor(bytes * 10 / unit) / 10; };
    if (bytes < 1024) return bytes + " bytes";
    return bytes < 1048576 ? tenth(1024).toFixed(1) + " KiB" : tenth(1048576).toFixed(1) + " MiB";
  }

  function show(text) {
    var message = JSON.parse(text);
    if (document.getElementById("message-" + message.id)) return;
    var article = blank.content.firstElementChild.cloneNode(true);
    var more = message.to.length - 3;
    article.id = "message-" + message.id;
    article.querySelector(".who").textContent = message.sender || message.from || "Nobody";
    article.querySelector(".whom").textContent = message.to.slice(0, 3).join(", ") + (more > 0 ? " and " + more + " more" : "");
    article.querySelector(".when").textContent = new Date(message.time).toUTCString().slice(5, 22) + " UTC";
    article.querySelector(".when").dateTime = message.time;
    article.querySelector(".size").textContent = size(message.size);
    article.querySelector("a").textContent = message.subject || "No subject";
    article.querySelector("a").href = list.dataset.message + message.id;
    list.prepend(article);
    while (list.children.length > most) list.lastElementChild.remove();
  }

  function remove(id) {
    var article = document.getElementById("message-" + id);
    if (article) article.remove();
  }

  // A browser has six connections to a server. A hidden page gives its own back, and gets
  // what it missed when it is shown again.
  function follow() {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else if (!document.hidden && !source) {
      open();
    }
  }

  document.addEventListener("visibilitychange", follow);
  follow();
})();
