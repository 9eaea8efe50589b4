// Draws the scan and the organs of the page. Everything shown comes from the page's own data blocks.
(async () => {
  "use strict";
  const find = (id) => document.getElementById(id);
  const page = JSON.parse(find("page").textContent);
  const hasLabels = page.organs.length > 0;
  const visible = page.organs.map(() => true);
  const PLANES = { axial: 0, coronal: 1, sagittal: 2 };
  const RENDER = 4;
  const options = {
    backColor: [0, 0, 0, 1],
    crosshairColor: [1, 1, 0.2, 0.6],
    crosshairGap: 10,
    crosshairWidth: 0.5,
    dragAndDropEnabled: false,
    fontColor: [1, 1, 0, 1],
    isRadiologicalConvention: true,
    logLevel: "error",
    sagittalNoseLeft: true,
    showAllOrientationMarkers: true,
    showLegend: false,
    viewModeHotKey: "",
    clipPlaneHotKey: "",
    cycleClipPlaneHotKey: "",
  };
  let planes, solid;

  function unpacked(id) {
    const text = atob(find(id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    return bytes.buffer;
  }

  function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function swatch([red, green, blue]) {
    const made = element("span", { className: "swatch" });
    made.style.background = `rgb(${red} ${green} ${blue})`;
    return made;
  }

  // An entry of the overlay names the organ that each of two label maps has there; with one label map both are the same.
  function colourOf({ left, right }) {
    const shown = [left, right].filter((organ) => organ !== null && visible[organ]);
    if (shown.length === 0) return [0, 0, 0, 0];
    if (!page.comparison) return [...page.organs[left].colour, 255];
    const { agreement, onlyLeft, onlyRight, different } = page.comparison.colours;
    if (left === right) return [...agreement, 255];
    if (shown.length === 2) return [...different, 255];
    return [...(left !== null && visible[left] ? onlyLeft : onlyRight), 255];
  }

  function recolour() {
    if (!hasLabels) return;
    const colours = [[0, 0, 0, 0], ...page.entries.map(colourOf)];
    const [R, G, B, A] = [0, 1, 2, 3].map((part) => colours.map((colour) => colour[part]));
    const table = { R, G, B, A, I: colours.map((_, index) => index), labels: colours.map(() => "") };
    for (const [canvas, volume] of [[planes, planes.volumes[1]], [solid, solid.volumes[0]]]) {
      volume.setColormapLabel(table);
      canvas.updateGLVolume();
    }
  }

  function setOpacity(value) {
    find("opacity").value = value;
    planes.setOpacity(1, Number(find("opacity").value));
  }

  function setWindow(low, high) {
    if (!(high > low)) return;
    find("low").value = Number(low.toPrecision(6));
    find("high").value = Number(high.toPrecision(6));
    for (const canvas of hasLabels ? [planes] : [planes, solid]) {
      Object.assign(canvas.volumes[0], { cal_min: low, cal_max: high });
      canvas.updateGLVolume();
    }
    page.windows.forEach((preset, k) => {
      find("windows").children[k].ariaPressed = String(preset.low === low && preset.high === high);
    });
  }

  function setView(name) {
    find("stage").dataset.view = name;
    for (const button of find("views").children) button.ariaPressed = String(button.value === name);
    const corners = [[0, 0], [0.5, 0], [0, 0.5]];
    const quarters = corners.map((corner, sliceType) => ({ sliceType, position: [...corner, 0.5, 0.5] }));
    planes.setCustomLayout(name in PLANES ? [{ sliceType: PLANES[name], position: [0, 0, 1, 1] }] : quarters);
    for (const canvas of [planes, solid]) canvas.resizeListener();
  }

  function goTo(place) {
    planes.scene.crosshairPos = planes.mm2frac(place);
    planes.createOnLocationChange();
    redraw();
  }

  function redraw() {
    solid.scene.crosshairPos = solid.mm2frac(planes.frac2mm(planes.scene.crosshairPos));
    planes.drawScene();
    solid.drawScene();
  }

  function move(right, front, head) {
    planes.moveCrosshairInVox(right, front, head);
    redraw();
  }

  function turn(azimuth, elevation) {
    solid.setRenderAzimuthElevation(solid.scene.renderAzimuth + azimuth, solid.scene.renderElevation + elevation);
  }

  function tellPlace({ mm, values }) {
    const ends = ["RL", "AP", "SI"];
    const at = ends.map(([plus, minus], axis) => `${mm[axis] < 0 ? minus : plus} ${Math.abs(mm[axis]).toFixed(1)}`);
    const entry = hasLabels && values[1] ? page.entries[Math.round(values[1].value) - 1] : undefined;
    const name = (organ) => (organ === null ? "none" : page.organs[organ].name);
    let organ = "";
    if (entry) organ = entry.left === entry.right ? name(entry.left) : `${name(entry.left)} | ${name(entry.right)}`;
    find("place").textContent = `${at.join("  ")} mm   value ${Number(values[0].value.toPrecision(5))}   ${organ}`;
    solid.scene.crosshairPos = solid.mm2frac(planes.frac2mm(planes.scene.crosshairPos));
    solid.drawScene();
  }

  function setVisible(organs, on) {
    for (const organ of organs) {
      visible[organ] = on;
      find("organs").rows[organ].querySelector("input").checked = on;
    }
    recolour();
  }

  function organRow(organ, k) {
    const box = element("input", { type: "checkbox", checked: true, ariaLabel: `show ${organ.name}` });
    box.addEventListener("change", () => setVisible([k], box.checked));
    const name = element("button", { type: "button", textContent: organ.name, disabled: !organ.place });
    name.title = organ.place ? "go to its largest slice" : "not found";
    if (organ.place) name.addEventListener("click", () => goTo(organ.place));
    const mark = page.comparison ? [] : [swatch(organ.colour)];
    const numbers = organ.numbers.map((text) => element("td", { className: "number", textContent: text }));
    return element("tr", {}, element("td", {}, box, " ", ...mark), element("td", {}, name), ...numbers);
  }

  function build() {
    find("notes").textContent = page.notes.join(" ");
    find("labels").hidden = !hasLabels;
    const heads = page.columns.map((text) => element("th", { className: "number", scope: "col", textContent: text }));
    find("columns").append(element("tr", {}, element("td"), element("th", { scope: "col", textContent: "organ" }), ...heads));
    find("organs").append(...page.organs.map(organRow));
    for (const { name, colour } of page.comparison ? page.comparison.legend : []) {
      find("statuses").append(element("li", {}, swatch(colour), ` ${name}`));
    }
    for (const { name, title } of VIEWS) {
      const button = element("button", { type: "button", value: name, textContent: title });
      button.addEventListener("click", () => setView(name));
      find("views").append(button);
    }
    for (const { name, low, high } of page.windows) {
      const button = element("button", { type: "button", textContent: name });
      button.addEventListener("click", () => setWindow(low, high));
      find("windows").append(button);
    }
    for (const [keys, meaning] of HELP) find("keys").append(element("dt", { textContent: keys }), element("dd", { textContent: meaning }));
    for (const id of ["low", "high"]) {
      find(id).addEventListener("change", () => setWindow(find("low").valueAsNumber, find("high").valueAsNumber));
    }
    find("opacity").addEventListener("input", () => setOpacity(find("opacity").value));
    const all = page.organs.map((_, k) => k);
    find("show-all").addEventListener("click", () => setVisible(all, true));
    find("show-none").addEventListener("click", () => setVisible(all, false));
  }

  const VIEWS = [
    { name: "all", title: "all" },
    { name: "axial", title: "axial" },
    { name: "coronal", title: "coronal" },
    { name: "sagittal", title: "sagittal" },
    { name: "solid", title: "3-D" },
  ];
  const HELP = [
    ["← → ↑ ↓", "move the crosshair (left is the patient's right)"],
    ["PgUp PgDn", "towards head, towards feet"],
    ["Shift + arrows", "turn the 3-D view"],
    ["0 1 2 3 4", "all, axial, coronal, sagittal, 3-D"],
    ["w", "next grey window"],
    ["+ -", "opacity of the organs"],
    ["o", "organs on or off"],
    ["mouse", "click moves, wheel scrolls, right button drags the grey window"],
  ];
  const KEYS = {
    ArrowLeft: () => move(1, 0, 0),
    ArrowRight: () => move(-1, 0, 0),
    ArrowUp: () => move(0, 1, 0),
    ArrowDown: () => move(0, -1, 0),
    PageUp: () => move(0, 0, 1),
    PageDown: () => move(0, 0, -1),
    w: () => {
      const buttons = Array.from(find("windows").children);
      buttons[(buttons.findIndex((button) => button.ariaPressed === "true") + 1) % buttons.length].click();
    },
    "+": () => setOpacity(Number(find("opacity").value) + 0.1),
    "-": () => setOpacity(Number(find("opacity").value) - 0.1),
    o: () => setVisible(page.organs.map((_, k) => k), !visible.some(Boolean)),
  };
  VIEWS.forEach(({ name }, k) => (KEYS[k] = () => setView(name)));
  const TURNS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };

  // Before NiiVue, whose own keys would do something else on a canvas; fields and sliders keep theirs.
  function pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const field = event.target.closest("input:not([type=checkbox])");
    const action = event.shiftKey && event.key in TURNS ? () => turn(...TURNS[event.key]) : KEYS[event.key];
    if (field || !action || (!hasLabels && "+-o".includes(event.key))) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  async function start() {
    build();
    planes = new niivue.Niivue({ ...options, multiplanarShowRender: 0 });
    solid = new niivue.Niivue({ ...options, sliceType: RENDER, isOrientCube: true });
    await planes.attachToCanvas(find("planes"));
    await solid.attachToCanvas(find("solid"));
    await planes.loadFromArrayBuffer(unpacked("scan"), "scan.nii.gz");
    if (hasLabels) await planes.loadFromArrayBuffer(unpacked("overlay"), "overlay.nii.gz");
    await solid.loadFromArrayBuffer(unpacked(hasLabels ? "overlay" : "scan"), "solid.nii.gz");
    recolour();
    setWindow(page.windows[0].low, page.windows[0].high);
    if (hasLabels) setOpacity(0.5);
    setView("all");
    solid.setRenderAzimuthElevation(160, 10);
    planes.onLocationChange = tellPlace;
    planes.onIntensityChange = ({ cal_min, cal_max }) => setWindow(cal_min, cal_max);
    goTo(page.start);
    document.addEventListener("keydown", pressed, true);
    document.body.dataset.state = "ready";
  }

  try {
    await start();
  } catch (error) {
    find("failure").hidden = false;
    find("failure").textContent = `The scan could not be drawn (${error.message}); open this file in a browser with WebGL 2.`;
    document.body.dataset.state = "failed";
  }
})();
