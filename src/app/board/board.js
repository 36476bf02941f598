// An extra: new posts appear, and deleted ones go, without a reload.
(function () {
  "use strict";
  var list = document.getElementById("posts");
  var blank = document.getElementById("blank");
  var live = document.getElementById("live");
  if (!list.dataset.events || !window.EventSource) return;
  var most = 100; // on one page, however long it is open
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
    source.addEventListener("open", function () { live.textContent = "New posts appear here automatically."; });
    source.addEventListener("error", function () { live.textContent = "The connection is lost; trying again."; });
    on("post", show);
    on("gone", remove);
    on("reload", function () { location.reload(); });
  }

  function show(text) {
    var post = JSON.parse(text);
    if (document.getElementById("post-" + post.id)) return;
    var article = blank.content.firstElementChild.cloneNode(true);
    article.id = "post-" + post.id;
    article.querySelector(".who").textContent = post.name || "Anonymous";
    article.querySelector(".when").textContent = post.when;
    article.querySelector(".when").dateTime = new Date(post.at * 1000).toISOString();
    article.querySelector(".text").textContent = post.text;
    list.prepend(article);
    while (list.children.length > most) list.lastElementChild.remove();
  }

  function remove(id) {
    var article = document.getElementById("post-" + id);
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
