(function () {
  "use strict";
  var list = document.getElementById("messages");
  var blank = document.getElementById("blank");
  var live = document.getElementById("live");
  var all = document.getElementById("delete-all");
  var most = 1000; // on one page, however long it is open

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
    article.querySelector(".size").textContent = message.size_text;
    article.querySelector("a").textContent = message.subject || "No subject";
    article.querySelector("a").href = list.dataset.message + message.id;
    list.prepend(article);
    while (list.children.length > most) list.lastElementChild.remove();
  }

  function remove(id) {
    var article = document.getElementById("message-" + id);
    if (article) article.remove();
  }

  all.addEventListener("submit", function (event) {
    if (!confirm("Delete all messages?")) event.preventDefault();
  });
  followEvents(list, live, "messages", {
    new: show,
    removed: remove,
    cleared: function () { list.replaceChildren(); },
  });
})();
