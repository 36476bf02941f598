(function () {
  "use strict";
  var list = document.getElementById("posts");
  var blank = document.getElementById("blank");
  var live = document.getElementById("live");
  var most = 100; // on one page, however long it is open

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

  followEvents(list, live, "posts", { post: show, gone: remove });
})();
