// What makes the pages livelier where scripts run. Everything works without it.
"use strict";

(() => {
  const find = (name) => document.querySelector(`[data-numverify-${name}]`);
  const status = find("status");

  // The number, as it will be checked, under the field that is left alone.
  const field = document.querySelector(".numverify-field input[type=tel]");
  const select = document.querySelector(".numverify-field select");
  const echo = find("echo");

  const grouped = (digits, groups) => {
    const parts = [];
    for (const length of groups) {
      if (digits) parts.push(digits.slice(0, length));
      digits = digits.slice(length);
    }
    return [...parts, digits].filter(Boolean).join(" ");
  };

  const prefixOf = (option) => option.text.split(" ")[1];

  const written = (typed) => {
    const international = typed.trim().replace(/^00/, "+").startsWith("+");
    let digits = typed.replace(/[^0-9]/g, "").replace(/^00/, "");
    const options = [...select.options];
    const own = options[select.selectedIndex];
    const option = international ? options.find((one) => digits.startsWith(prefixOf(one).slice(1))) : own;
    if (!option) return `+${digits}`;
    const { trunk, groups } = option.dataset, prefix = prefixOf(option);
    if (international) digits = digits.slice(prefix.length - 1);
    else if (trunk && digits.startsWith(trunk)) digits = digits.slice(trunk.length);
    return `${prefix} ${grouped(digits, groups.split(" ").map(Number))}`;
  };

  if (field && select && echo) {
    const show = () => {
      const enough = field.value.replace(/[^0-9]/g, "").length > 3 && /^[0-9+()./\s-]*$/.test(field.value);
      echo.hidden = !enough;
      if (enough) echo.querySelector("bdi").textContent = written(field.value);
    };
    field.addEventListener("input", show);
    select.addEventListener("change", show);
    show();
  }

  // Where the browser tells: over Wi-Fi the operator sees no SIM. Never a reason to stop anybody.
  const wifi = find("wifi");
  if (wifi && navigator.connection) {
    const hint = () => {
      wifi.hidden = navigator.connection.type !== "wifi";
    };
    navigator.connection.addEventListener?.("change", hint);
    hint();
  }

  // While the operator is asked the page stays: say so, and once more after a while.
  const say = (name) => {
    if (status) status.textContent = status.dataset[name];
  };
  let later;
  const busy = (form, button) => {
    if (form.getAttribute("aria-busy") === "true") return false;
    form.setAttribute("aria-busy", "true");
    if (button) {
      button.setAttribute("aria-disabled", "true");
      button.dataset.said = button.textContent;
      button.textContent = status.dataset.button;
    }
    say("checking");
    later = setTimeout(say, 5000, "still");
    return true;
  };
  for (const form of document.querySelectorAll("form[data-numverify-asks]")) {
    form.addEventListener("submit", (event) => {
      if (!busy(form, event.submitter)) event.preventDefault();
    });
  }
  if (find("waits")) setTimeout(say, 5000, "still");

  // Back from the browser's own cache of pages: as it was.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    clearTimeout(later);
    for (const form of document.querySelectorAll("[aria-busy]")) form.removeAttribute("aria-busy");
    for (const button of document.querySelectorAll("[aria-disabled]")) {
      button.removeAttribute("aria-disabled");
      button.textContent = button.dataset.said;
    }
    if (status) status.textContent = "";
  });
})();
