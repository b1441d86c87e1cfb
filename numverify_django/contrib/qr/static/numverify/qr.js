// What these pages can do without: tell the desktop how far the phone is, and copy the code on the phone.
(() => {
  const EVERY = 3000; // milliseconds
  const told = document.querySelector("[data-numverify-status]");

  async function ask() {
    if (document.hidden) return true;
    const answer = await fetch(told.dataset.numverifyStatus, { cache: "no-store", headers: { Accept: "application/json" } });
    if (answer.status === 429) return true;
    const { status, text } = await answer.json();
    if (told.textContent !== text) told.textContent = text; // a screen reader reads what is new, once
    const isOver = ["ended", "declined"].includes(status);
    if (isOver) for (const part of document.querySelectorAll("[data-numverify-open]")) part.hidden = true;
    return !isOver;
  }

  async function watch() {
    const goesOn = await ask().catch(() => true);
    if (goesOn) setTimeout(watch, EVERY);
  }

  if (told) setTimeout(watch, EVERY);

  for (const button of navigator.clipboard ? document.querySelectorAll("[data-numverify-copy]") : []) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = document.querySelector(button.dataset.numverifyCopy).textContent.replace(/\s/g, "");
      await navigator.clipboard.writeText(code);
      document.querySelector("[role=status]").textContent = button.dataset.numverifyDone;
    });
  }
})();
