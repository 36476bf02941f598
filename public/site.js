// An extra for the commands on these pages; everything reads well without it.
// The examples name 127.0.0.1:8080. Where the page came from elsewhere, they
// are made to name that place, and each command gets a button that copies it.
(function () {
  "use strict";
  var here = location.protocol === "http:" && location.hostname;
  var port = location.port || "80";
  document.querySelectorAll("pre.cmd").forEach(function (pre) {
    var code = pre.querySelector("code");
    if (here) {
      code.textContent = code.textContent
        .replaceAll("http://127.0.0.1:8080", location.origin)
        .replaceAll("nc 127.0.0.1 8080", "nc " + location.hostname.replace(/[\[\]]/g, "") + " " + port);
    }
    if (!navigator.clipboard) return;
    var button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(code.textContent).then(function () {
        button.textContent = "Copied";
        setTimeout(function () { button.textContent = "Copy"; }, 1500);
      });
    });
    pre.append(button);
  });
})();
