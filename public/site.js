// Optional: the pages are complete without this script.
// It replaces 127.0.0.1:8080 in the commands by the address of this page and
// adds a button to each command that copies it.
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
