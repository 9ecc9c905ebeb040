// A mail leads to /approvals#id, which goes on to that request; a security key's answer is put into the vote.
"use strict";
(() => {
  const list = document.querySelector("[data-approvals]");
  const wanted = location.hash.slice(1);
  if (list && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(wanted)) location.replace(`${list.dataset.approvals}/${wanted}`);

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const ask = async (form) => {
    const body = new URLSearchParams({ csrfmiddlewaretoken: form.elements.csrfmiddlewaretoken.value });
    const answer = await fetch(form.dataset.challenge, { method: "POST", body, headers: { Accept: "application/json" } });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.message);
    return found;
  };

  const assertion = async (options) => {
    const publicKey = {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: options.allowCredentials.map((each) => ({ ...each, id: bytes(each.id) })),
    };
    const given = await navigator.credentials.get({ publicKey });
    return {
      id: given.id,
      type: given.type,
      response: {
        authenticatorData: text(given.response.authenticatorData),
        clientDataJSON: text(given.response.clientDataJSON),
        signature: text(given.response.signature),
        userHandle: given.response.userHandle ? text(given.response.userHandle) : null,
      },
      clientExtensionResults: { appid: given.getClientExtensionResults().appid ?? null },
    };
  };

  window.keystead.on("click", "[data-vote-key]", async (button) => {
    const form = button.form;
    const error = form.querySelector("[data-vote-error]");
    error.hidden = true;
    button.disabled = true;
    try {
      form.elements.answer.value = JSON.stringify(await assertion(await ask(form)));
      for (const name of ["code", "recovery_code"]) if (form.elements[name]) form.elements[name].value = "";
      form.submit();
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
      button.disabled = false;
    }
  });
})();
