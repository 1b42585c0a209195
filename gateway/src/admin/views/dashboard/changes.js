
// The actions: each is explained in the dialog before it is confirmed.
const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
const sessionsOf = upstream => plural(upstream.live_sessions, "live session", "live sessions");
const put = ({ name, address, weight, max_in_flight }) => ({ put: { name, address, weight, max_in_flight } });

const WEIGHT = {
  id: "weight", label: "Weight", hint: "Its relative share of new sessions, 1 to 65535.",
  type: "number", min: 1, max: 65535, value: 1, required: true,
};
const ADDED = [
  { id: "name", label: "Name", hint: "1 to 255 visible characters.", required: true, maxLength: 255 },
  { id: "address", label: "Address", hint: "host:port, such as 10.0.0.1:8080 or [::1]:8080.", required: true },
  WEIGHT,
  {
    id: "max_in_flight", label: "Most requests at once", hint: "0 is no limit.",
    type: "number", min: 0, max: 4294967295, value: 0, required: true,
  },
];
const DEADLINE = {
  id: "deadline", label: "Deadline", hint: "Such as 10m or 1h 30m. Without one sessions stay for as long as they live.",
  placeholder: "none",
};

/** `changed` is called after each change, `current` returns all instances as they are now. */
function actions(changed, current) {
  const others = name => current().filter(upstream => upstream.accepting && upstream.name !== name).length;
  return {
    add: () => open({
      title: "Add an instance", lead: ["It takes new sessions as soon as it is there. Sessions elsewhere stay where they are."],
      fields: ADDED, verb: "Add it", changes: values => [put(values)],
    }),
    weight: upstream => open({
      title: `Weight of ${upstream.name}`, lead: [`It is ${upstream.weight} now.`],
      fields: [{ ...WEIGHT, value: upstream.weight }], verb: "Change it", changes: values => [put({ ...upstream, ...values })],
    }),
    remove: upstream => open({
      title: `Remove ${upstream.name}`,
      lead: [`${sessionsOf(upstream)} would lose their instance. Drain it first to let them finish.`],
      fields: [], verb: "Remove it", changes: () => [{ remove: upstream.name }],
    }),
    drain: upstream => open({
      title: `Drain ${upstream.name}`,
      lead: [
        `It takes no new sessions; ${plural(others(upstream.name), "other instance does", "other instances do")}.`,
        `Its ${sessionsOf(upstream)} and ${plural(upstream.traffic?.tunnels ?? 0, "WebSocket", "WebSockets")} stay until `
          + "the deadline, and leave then one after another.",
      ],
      fields: [DEADLINE], verb: "Drain it",
      run: ({ deadline }) => post(at(upstream.name, "drain"), deadline ? { deadline } : {}),
    }),
    resume: upstream => open({
      title: `Resume ${upstream.name}`, lead: ["Its drain ends: it takes new sessions again, and those it has stay."],
      fields: [], verb: "Resume it", run: () => post(at(upstream.name, "resume")),
    }),
  };

  /** An action either runs at once (`run`), or its changes are planned before they can be applied (`changes`). */
  function open({ title, lead, fields, verb, changes, run }) {
    const [dialog, form, confirm] = [$("dialog"), $("dialog").querySelector("form"), $("confirm")];
    let plan = null;
    say($("dialog-title"), title);
    $("dialog-lead").replaceChildren(...lead.map(text => element("p", { textContent: text })));
    $("dialog-fields").replaceChildren(...fields.map(field));
    $("dialog-fields").hidden = fields.length === 0;
    show(null);
    note("");

    const values = () => Object.fromEntries(fields.map(({ id, type }) => {
      const value = $(`field-${id}`).value.trim();
      return [id, type === "number" ? Number(value) : value];
    }));
    const draft = async why => {
      show(await post("/api/v1/plan", { changes: changes(values()) }));
      note(why);
    };
    const attempt = async work => {
      confirm.disabled = true;
      note("");
      try { await work(); } catch (error) { note(error.message); }
      confirm.disabled = false;
    };
    form.oninput = () => { if (changes) show(null); };
    form.onsubmit = submitted => {
      submitted.preventDefault();
      attempt(async () => {
        if (changes && plan === null) return draft("");
        try {
          await (run ? run(values()) : post("/api/v1/apply", { generation: plan.generation, changes: changes(values()) }));
        } catch (error) {
          if (error.code !== "generation") throw error;
          return draft("The cluster has changed meanwhile, and nothing was done. This is what it would do now.");
        }
        dialog.close();
        changed();
      });
    };
    $("cancel").onclick = () => dialog.close();
    dialog.showModal();
    if (changes && fields.length === 0) attempt(() => draft(""));

    function show(next) {
      plan = next;
      $("plan").hidden = plan === null;
      const lines = (plan?.explanation ?? []).filter(line => line !== `after generation ${plan.generation}:`);
      $("plan-lines").replaceChildren(...lines.map(line => element("li", { textContent: line.replace(/^- /, "") })));
      say($("plan-base"), plan?.generation ?? "");
      say(confirm, run || plan ? verb : "Show what it would do");
    }
  }

  function note(text) { say($("dialog-note"), text); }

  function field({ id, label, hint, ...properties }) {
    const input = element("input", { id: `field-${id}`, autocomplete: "off", spellcheck: false, ...properties });
    input.setAttribute("aria-describedby", `hint-${id}`);
    const name = element("label", { htmlFor: input.id, textContent: label });
    return element("div", {}, name, input, element("p", { id: `hint-${id}`, textContent: hint }));
  }
}
