// Security keys and passkeys: the server's options go to the browser, its answer goes into the form, the form is sent.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const described = (keys) => (keys ?? []).map((key) => ({ ...key, id: bytes(key.id) }));

  const create = async (options) => {
    const publicKey = {
      ...options,
      rp: { id: options.rp.id, name: options.rp.name },
      user: { id: bytes(options.user.id), name: options.user.name, displayName: options.user.displayName },
      challenge: bytes(options.challenge),
      excludeCredentials: described(options.excludeCredentials),
    };
    const made = await navigator.credentials.create({ publicKey });
    return {
      id: made.id,
      type: made.type,
      response: {
        clientDataJSON: text(made.response.clientDataJSON),
        attestationObject: text(made.response.attestationObject),
        getTransports: made.response.getTransports?.() ?? [],
      },
    };
  };

  const get = async (options) => {
    const publicKey = {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: described(options.allowCredentials),
    };
    const shown = await navigator.credentials.get({ publicKey });
    const { appid } = shown.getClientExtensionResults();
    const handle = shown.response.userHandle;
    return {
      id: shown.id,
      type: shown.type,
      response: {
        clientDataJSON: text(shown.response.clientDataJSON),
        authenticatorData: text(shown.response.authenticatorData),
        signature: text(shown.response.signature),
        ...(handle?.byteLength ? { userHandle: text(handle) } : {}),
      },
      ...(appid === undefined ? {} : { clientExtensionResults: { appid } }),
    };
  };

  const challenge = async (form) => {
    const answered = await fetch(form.dataset.challenge, {
      method: "POST",
      headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value, Accept: "application/json" },
    });
    const said = await answered.json();
    if (!answered.ok) throw new Error(said.message);
    return said;
  };

  const complain = (form, error) => {
    const place = form.querySelector("[data-webauthn-error]");
    place.querySelector("div").textContent = error.message;
    place.hidden = false;
  };

  window.keystead.on("submit", "form[data-webauthn]", async (form, event) => {
    const answer = form.querySelector("input[name$=answer]");
    const name = form.querySelector("input[name$=name]");
    if (answer.value || (name && !name.value.trim())) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    form.querySelector("[data-webauthn-error]").hidden = true;
    button.disabled = true;
    try {
      const ask = form.dataset.webauthn === "create" ? create : get;
      answer.value = JSON.stringify(await ask(await challenge(form)));
      button.disabled = false;
      form.requestSubmit(button);
    } catch (error) {
      button.disabled = false;
      complain(form, error);
    }
  });
})();
