// A single-page client of numverify_django: it asks for JSON, and says in words of its own what the answers mean.
"use strict";

const app = document.getElementById("app");
const form = document.getElementById("login");
const api = app.dataset.api.replace(/login\/$/, "");
let token = ""; // comes with each page that was asked for, and goes with each POST

const WORDS = {
  not_open: "This login is over. Please begin again.",
  not_confirmed: "This number could not be confirmed.",
  not_on_mobile_network: "The operator saw no SIM. Please turn off Wi-Fi and VPN.",
  too_many: "That was too often. Please wait a little.",
  unfinished: "The check did not finish. Please try again later.",
};

async function ask(path, fields) {
  const headers = {Accept: "application/json"};
  if (fields) headers["X-CSRFToken"] = token;
  const answer = await fetch(api + path, {method: fields ? "POST" : "GET", headers, body: fields});
  const told = await answer.json();
  if (told.csrf_token) token = told.csrf_token;
  return told;
}

function say(text) {
  document.getElementById("said").textContent = text;
}

async function show() {
  const told = await ask("login/");
  const {numbers} = await ask("numbers/");
  form.hidden = Boolean(numbers);
  document.getElementById("numbers").hidden = !numbers;
  document.getElementById("numbers").replaceChildren(...(numbers || []).map(item));
  if (numbers) say(told.verified ? "You are in: this phone's SIM was checked just now." : "You are in. Your numbers:");
}

function item({number, operator}) {
  const element = document.createElement("li");
  element.textContent = `${number}, by ${operator}`;
  return element;
}

async function comeBack(query) { // where REDIRECT_URI leads here: else a page of the site says what failed
  history.replaceState(null, "", location.pathname); // the code is in it
  const told = await ask(`callback/${query}`);
  if (told.next) location.replace(told.next);
  else await show().then(() => say(WORDS[told.error] || WORDS.unfinished));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say("One moment…");
  const told = await ask("login/", new URLSearchParams(new FormData(form))).catch(() => ({}));
  if (told.authorization_url) location.assign(told.authorization_url); // and the operator leads back here
  else say(told.detail || WORDS[told.error] || WORDS.unfinished);
});

(/[?&]state=/.test(location.search) ? comeBack(location.search) : show()).catch(() => say(WORDS.unfinished));
