// An extra: new posts appear, and deleted ones go, without a reload.
(function () {
  "use strict";
  var list = document.getElementById("posts");
  var blank = document.getElementById("blank");
  var live = document.getElementById("live");
  if (!list.dataset.events || !window.EventSource) return;
  var most = 100; // on one page, however long it is open
  var source = new EventSource(list.dataset.events);
  source.addEventListener("open", function () { live.textContent = "New posts appear here automatically."; });
  source.addEventListener("error", function () { live.textContent = "The connection is lost; trying again."; });
  source.addEventListener("post", function (event) {
    var post = JSON.parse(event.data);
    if (document.getElementById("post-" + post.id)) return;
    var article = blank.content.firstElementChild.cloneNode(true);
    article.id = "post-" + post.id;
    article.querySelector(".who").textContent = post.name || "Anonymous";
    article.querySelector(".when").textContent = post.when;
    article.querySelector(".text").textContent = post.text;
    list.prepend(article);
    while (list.children.length > most) list.lastElementChild.remove();
  });
  source.addEventListener("gone", function (event) {
    var article = document.getElementById("post-" + event.data);
    if (article) article.remove();
  });
  source.addEventListener("reload", function () { location.reload(); });
})();
