// An extra that pages with a list share: new entries appear, and deleted ones go, without a reload.
// `events` has a function for each event that changes the list.
function followEvents(list, live, what, events) {
  "use strict";
  if (!list.dataset.events || !window.EventSource) return;
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
    source.addEventListener("open", function () { live.textContent = "New " + what + " appear here automatically."; });
    source.addEventListener("error", function () { live.textContent = "The connection is lost; trying again."; });
    Object.keys(events).forEach(function (name) { on(name, events[name]); });
    on("reload", function () { location.reload(); });
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
}

