// The record's proofs, verified here and not by the server: leaf hash, path to the root (RFC 9162 §2.1.3.2), signature
// of the checkpoint (C2SP signed-note, type 2), and that it goes on from what this browser saw before (§2.1.4.2).
"use strict";
(() => {
  // Following live pauses while nobody looks.
  document.addEventListener("htmx:before:request", (event) => {
    if (document.hidden && event.target.closest?.("[data-live]")) event.preventDefault();
  });

  const holder = document.getElementById("evidence");
  if (!holder) return;
  const evidence = JSON.parse(holder.textContent);
  const MEMORY = "keystead-record";

  // -- bytes -------------------------------------------------------------------------------------------------------
  const utf8 = (text) => new TextEncoder().encode(text);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const base64 = (array) => btoa(String.fromCharCode(...array));
  const joined = (...parts) => {
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const sha256 = async (array) => new Uint8Array(await crypto.subtle.digest("SHA-256", array));
  const leafHash = (line) => sha256(joined([0], utf8(line)));
  const nodeHash = (left, right) => sha256(joined([1], left, right));
  const same = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);
  const short = (array) => [...array.slice(0, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join("") + "…";
  const demand = (met, why) => {
    if (!met) throw new Error(why);
  };

  // -- the tree ----------------------------------------------------------------------------------------------------
  // Sizes are larger than 2^31 may be: no bit operations.
  const half = (number) => Math.floor(number / 2);
  const odd = (number) => number % 2 === 1;

  const walk = async (leaf, index, size, path) => {
    demand(index < size, "the tree has no such entry");
    let [first, last, reached] = [index, size - 1, leaf];
    const steps = [];
    for (const sibling of path) {
      demand(last !== 0, "the path is too long");
      const left = odd(first) || first === last;
      reached = left ? await nodeHash(sibling, reached) : await nodeHash(reached, sibling);
      if (left) while (!odd(first) && first !== 0) [first, last] = [half(first), half(last)];
      steps.push({ left, sibling, reached });
      [first, last] = [half(first), half(last)];
    }
    demand(last === 0, "the path is too short");
    return { root: reached, steps };
  };

  const extend = async (older, newer, path) => {
    demand(older.origin === newer.origin, "the log has another name than before");
    demand(older.size <= newer.size, `the log has shrunk from ${older.size} entries to ${newer.size}`);
    if (older.size === 0 || older.size === newer.size) {
      demand(path.length === 0 && (older.size === 0 || same(older.root, newer.root)), "there are two roots for one size");
      return;
    }
    const hashes = Number.isInteger(Math.log2(older.size)) ? [older.root, ...path] : [...path];
    demand(hashes.length > 0, "the proof of growth is empty");
    let [first, last] = [older.size - 1, newer.size - 1];
    while (odd(first)) [first, last] = [half(first), half(last)];
    let [before, after] = [hashes[0], hashes[0]];
    for (const sibling of hashes.slice(1)) {
      demand(last !== 0, "the proof of growth is too long");
      if (odd(first) || first === last) {
        [before, after] = [await nodeHash(sibling, before), await nodeHash(sibling, after)];
        while (!odd(first) && first !== 0) [first, last] = [half(first), half(last)];
      } else {
        after = await nodeHash(after, sibling);
      }
      [first, last] = [half(first), half(last)];
    }
    demand(last === 0 && same(before, older.root) && same(after, newer.root), "history was rewritten since this browser last looked");
  };

  // -- the checkpoint ----------------------------------------------------------------------------------------------
  // WebCrypto wants r and s side by side, the note has them in DER.
  const plainSignature = (der) => {
    const whole = new Uint8Array(64);
    demand(der[0] === 0x30 && der[1] === der.length - 2, "the signature is not in the format");
    let at = 2;
    for (const place of [0, 32]) {
      demand(der[at] === 0x02, "the signature is not in the format");
      const length = der[at + 1];
      let number = der.slice(at + 2, at + 2 + length);
      while (number.length > 32 && number[0] === 0) number = number.slice(1);
      demand(number.length <= 32, "the signature is not in the format");
      whole.set(number, place + 32 - number.length);
      at += 2 + length;
    }
    demand(at === der.length, "the signature is not in the format");
    return whole;
  };

  const opened = async (note, verifier) => {
    const [name, id, ...rest] = verifier.split("+");
    const raw = bytes(rest.join("+"));
    demand(raw[0] === 2, "the key is of another kind");
    const spki = raw.slice(1);
    const keyId = (await sha256(spki)).slice(0, 4);
    demand([...keyId].map((byte) => byte.toString(16).padStart(2, "0")).join("") === id, "the key's id is not that of the key");
    const end = note.indexOf("\n\n");
    demand(end > 0, "the checkpoint is not in the format");
    const text = note.slice(0, end + 1);
    const key = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
    let signed = false;
    for (const line of note.slice(end + 2).split("\n")) {
      const [dash, signer, encoded] = line.split(" ");
      if (dash !== "\u2014" || signer !== name) continue;
      const blob = bytes(encoded);
      if (!same(blob.slice(0, 4), keyId)) continue;
      const algorithm = { name: "ECDSA", hash: "SHA-256" };
      signed = await crypto.subtle.verify(algorithm, key, plainSignature(blob.slice(4)), utf8(text));
      demand(signed, "the signature is not that of the record's key");
    }
    demand(signed, "the checkpoint carries no signature of the record's key");
    const [origin, size, root] = text.split("\n");
    demand(/^(0|[1-9][0-9]{0,15})$/.test(size), "the checkpoint is not in the format");
    return { origin, size: Number(size), root: bytes(root), name };
  };

  // -- what this browser saw before ---------------------------------------------------------------------------------
  const recall = () => {
    try {
      const found = JSON.parse(localStorage.getItem(MEMORY));
      return found && { ...found, root: bytes(found.root) };
    } catch {
      return null;
    }
  };
  const remember = (key, point) => {
    const kept = { key, origin: point.origin, size: point.size, root: base64(point.root), seen: new Date().toISOString() };
    localStorage.setItem(MEMORY, JSON.stringify(kept));
  };

  const newest = async (url, older, key) => {
    const answer = await fetch(`${url}?size=${older.size}`, { headers: { Accept: "application/json" } });
    const found = await answer.json();
    demand(answer.ok, found.message || "the log has shrunk");
    const point = await opened(found.checkpoint, key);
    await extend(older, point, found.proof.map(bytes));
    return point;
  };

  const settle = async (url, key, point) => {
    const known = recall();
    if (!known) {
      remember(key, point);
      return null;
    }
    demand(known.key === key, "the record's key is not the one that this browser saw before");
    let latest = point;
    if (known.size === point.size) await extend(known, point, []);
    else for (const older of [known, point]) latest = await newest(url, older, key);
    if (latest.size >= known.size) remember(key, latest);
    return known;
  };

  // -- what is shown -------------------------------------------------------------------------------------------------
  const SVG = "http://www.w3.org/2000/svg";
  const drawn = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  };

  const draw = (picture, leaf, steps) => {
    const [row, width, middle] = [34, 320, 160];
    const height = (steps.length + 1) * row + 12;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const box = (x, y, kind, text) => {
      picture.append(drawn("rect", { x: x - 48, y: y - 11, width: 96, height: 22, rx: 5, class: kind }));
      picture.append(drawn("text", { x, y: y + 4, class: kind }, text));
    };
    const line = (x1, y1, x2, y2) => picture.append(drawn("line", { x1, y1, x2, y2 }));
    steps.forEach((step, index) => {
      const y = height - 18 - index * row;
      const x = step.left ? middle - 104 : middle + 104;
      line(middle, y - 11, middle, y - row + 11);
      line(x, y - 11, middle, y - row + 11);
      box(x, y, "beside", short(step.sibling));
    });
    [leaf, ...steps.map((step) => step.reached)].forEach((hash, index) => {
      const kind = index === steps.length ? "root" : index === 0 ? "leaf" : "way";
      box(middle, height - 18 - index * row, kind, short(hash));
    });
  };

  const said = (root, name) => root.querySelector(`[data-said="${name}"]`).textContent;
  const offerTrust = () => document.querySelectorAll("[data-trust]").forEach((button) => (button.hidden = !recall()));
  window.keystead.on("click", "[data-trust]", () => {
    localStorage.removeItem(MEMORY);
    location.reload();
  });

  const proof = document.querySelector("[data-proof]");
  const prove = async () => {
    const verdict = proof.querySelector("[data-verdict]");
    const done = (name, value) => {
      const step = proof.querySelector(`[data-step="${name}"]`);
      step.dataset.done = "yes";
      step.querySelector("[data-value]").textContent = value;
    };
    try {
      const leaf = await leafHash(evidence.entry);
      done("leaf", short(leaf));
      const point = await opened(evidence.checkpoint, evidence.key);
      const { root, steps } = await walk(leaf, evidence.index, point.size, evidence.proof.map(bytes));
      draw(proof.querySelector("[data-picture]"), leaf, steps);
      demand(same(root, point.root), "the entry's bytes do not lead to the root that was signed");
      done("path", short(root));
      done("signature", point.name);
      const known = await settle(proof.dataset.proof, evidence.key, point);
      if (known) done("memory", new Date(known.seen).toLocaleString());
      else proof.querySelector('[data-step="memory"] span').textContent = said(proof, "first");
      verdict.dataset.verdict = "verified";
    } catch (problem) {
      verdict.dataset.verdict = "failed";
      const why = proof.querySelector("[data-why]");
      why.textContent = problem.message;
      why.hidden = false;
      offerTrust();
    }
    verdict.querySelector("[data-verdict-text]").textContent = said(proof, verdict.dataset.verdict);
  };

  const seal = document.querySelector("[data-seal]");
  const check = async () => {
    const badge = seal.querySelector("[data-seal-badge]");
    let text;
    try {
      const point = await opened(evidence.checkpoint, evidence.key);
      await settle(seal.dataset.seal, evidence.key, point);
      badge.dataset.tone = "ok";
      text = `${said(seal, "verified")} ${point.size.toLocaleString()} ${said(seal, "entries")}`;
    } catch (problem) {
      badge.dataset.tone = "danger";
      text = `${said(seal, "failed")} ${problem.message}`;
      offerTrust();
    }
    badge.querySelector("[data-seal-text]").textContent = text;
  };

  if (proof) prove();
  if (seal) check();
})();
