"use strict";
(() => {
  const data = JSON.parse(document.getElementById("figures").textContent);
  const dialog = document.getElementById("details");
  const content = dialog.querySelector(".content");
  const EDGE = 6, BAND = 1.96, ROW = 92;
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash"];
  const PATHS = [
    "M5 0a5 5 0 1 0 .01 0z", "M.5.5h9v9h-9z", "M5-.8 10.8 5 5 10.8-.8 5z", "M5 0 10.5 9.5h-11z",
    "M3.3 0h3.4v3.3H10v3.4H6.7V10H3.3V6.7H0V3.3h3.3z", "M2 0 5 3l3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3-3-3z",
    "M5 0l1.3 3.6H10L7 5.9 8.2 10 5 7.6 1.8 10 3 5.9 0 3.6h3.7z", "M5 0l4.5 2.5v5L5 10 .5 7.5v-5z",
  ];

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const place = (estimator) => data.estimators.indexOf(estimator);
  const colour = (estimator) => style(`--e${place(estimator) % SYMBOLS.length}`);
  // Beyond the eighth estimator colours come again, with other shapes: no two look the same up to the sixty-fourth.
  const shape = (estimator) => (place(estimator) + Math.floor(place(estimator) / SYMBOLS.length)) % SYMBOLS.length;
  const symbol = (estimator) => SYMBOLS[shape(estimator)];
  // Plotly reads a little HTML in its texts.
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* Details ------------------------------------------------------------------------------------------------- */

  const templates = new Map([...document.querySelectorAll("template[data-details]")].map((t) => [t.dataset.details, t]));

  function open(id) {
    const template = templates.get(id);
    if (!template) return;
    content.replaceChildren(template.content.cloneNode(true));
    dialog.dataset.shown = id;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  }

  function fromAddress() {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id && dialog.dataset.shown !== id) open(id);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cell]");
    if (button) open(button.dataset.cell);
    else if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    delete dialog.dataset.shown;
    history.replaceState(null, "", location.pathname + location.search);
  });
  window.addEventListener("hashchange", fromAddress);

  /* Figures ------------------------------------------------------------------------------------------------- */

  function legend(list, panels) {
    const shown = data.estimators.filter((name) => panels.some((panel) => panel.series[name]));
    list.replaceChildren(...shown.map((name) => {
      const item = document.createElement("li");
      const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      box.setAttribute("viewBox", "-1 -1 12 12");
      box.setAttribute("width", "12");
      box.setAttribute("height", "12");
      box.setAttribute("aria-hidden", "true");
      path.setAttribute("d", PATHS[shape(name)]);
      path.setAttribute("fill", `var(--e${place(name) % SYMBOLS.length})`);
      box.append(path);
      item.append(box, name);
      return item;
    }));
  }

  function axis(extra) {
    return {
      gridcolor: style("--rule"), zeroline: false, linecolor: style("--soft"), tickcolor: style("--soft"),
      showline: true, ticks: "outside", ticklen: 4, automargin: true, fixedrange: true, ...extra,
    };
  }

  function layout(extra) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: style("--sans"), size: 12.5, color: style("--ink") },
      margin: { l: 8, r: 14, t: 8, b: 40 },
      hoverlabel: { bgcolor: style("--raised"), bordercolor: style("--rule"), font: { color: style("--ink") } },
      ...extra,
    };
  }

  /* A hollow mark is drawn by its outline alone, a full one without. */
  function marker(name, points, shape, extra) {
    return {
      color: colour(name), size: 10, opacity: 1, symbol: points.map((p) => shape(p) + (p.hollow ? "-open" : "")),
      line: { width: points.map((p) => (p.hollow ? 1.7 : 0)), color: colour(name) }, ...extra,
    };
  }

  function trace(name, points, extra) {
    return {
      type: "scatter", mode: "markers", name: escaped(name),
      customdata: points.map((p) => p.cell),
      hovertext: points.map((p) => `${escaped(name)}<br>${escaped(p.words)}`), hoverinfo: "text",
      marker: marker(name, points, () => symbol(name)), ...extra,
    };
  }

  const span = (values) => [Math.min(...values), Math.max(...values)];

  function power(value) {
    const [digits, exponent] = value.toExponential(0).split("e").map(Number);
    if (exponent >= -3 && exponent <= 4) return String(Number(value.toPrecision(1)));
    return `${digits === 1 ? "" : `${digits}·`}10<sup>${String(exponent).replace("-", "−")}</sup>`;
  }

  function duration(value) {
    const [unit, word] = [[1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"], [1, "s"]].findLast(([size]) => value >= 0.999 * size) ?? [1, "s"];
    const [number, kilo] = [Number((value / unit).toPrecision(1)), 1e4];
    return number >= kilo ? `${power(number)} ${word}` : `${number} ${word}`;
  }

  /* Powers of ten where there is room for no more, else 1, 2 and 5 of every decade; never less than a factor of four. */
  function logarithmic(values, title, label) {
    let [low, high] = span(values).map(Math.log10);
    const pad = Math.max(0.06 * (high - low), 0.5 * (0.6 - (high - low)), 0.04);
    [low, high] = [low - pad, high + pad];
    const [steps, stride] = high - low < 2.3 ? [[1, 2, 5], 1] : [[1], Math.ceil((high - low) / 6)];
    const ticks = [];
    for (let decade = Math.floor(low); decade <= high; decade++) {
      if (decade % stride === 0) ticks.push(...steps.map((step) => step * 10 ** decade));
    }
    const tickvals = ticks.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
    return axis({ type: "log", title: caption(title), range: [low, high], tickvals, ticktext: tickvals.map(label) });
  }

  const caption = (text) => ({ text, standoff: 8, font: { size: 12.5 } });

  /* Lines of points in double logarithmic scales, with a tick at every value of x that was measured. */
  function curves(panel, across, up) {
    const lines = Object.entries(panel.series);
    const all = lines.flatMap(([, points]) => points);
    const traces = lines.map(([name, points]) => trace(name, points, {
      mode: "lines+markers", x: points.map((p) => p.x), y: points.map((p) => p.y),
      line: { color: colour(name), width: 1.8, dash: DASHES[shape(name)] },
    }));
    const ticks = [...new Set(all.map((p) => p.x))];
    const x = { ...logarithmic(ticks, across, String), tickvals: ticks, ticktext: ticks.map(String) };
    return [traces, layout({ height: 300, xaxis: x, yaxis: logarithmic(all.map((p) => p.y), up, power) })];
  }

  const snr = (panel) => curves(panel, "horizon T (steps)", "SNR");
  const bias = (panel) => curves(panel, "dt", "relative bias");

  /* Estimators of one dynamics stand apart by a little, so that none hides another. */
  function offset(name, names) {
    return names.length > 1 ? (names.indexOf(name) / (names.length - 1) - 0.5) * 0.5 : 0;
  }

  function rows(panel, names, xaxis, shapes) {
    const count = panel.lines.length;
    const rules = panel.lines.slice(1).map((_, line) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: line + 0.5, y1: line + 0.5, line: { color: style("--rule"), width: 1 },
    }));
    const labels = panel.lines.map((line, index) => ({
      text: `<b>${escaped(line)}</b>`, x: 0, xref: "paper", xanchor: "left", xshift: 4, y: index - 0.5, yanchor: "top",
      yshift: -2, showarrow: false, font: { size: 12 },
    }));
    return layout({
      height: count * ROW + 62, shapes: [...shapes, ...rules], annotations: labels, xaxis,
      yaxis: axis({ range: [count - 0.5, -0.5], showticklabels: false, ticks: "", showgrid: false }),
    });
  }

  function spread(points, name, names) {
    return points.map((p) => p.line + 0.12 + offset(name, names));
  }

  function truth(panel) {
    const names = data.estimators.filter((name) => panel.series[name]);
    const traces = names.map((name) => {
      // The first components come last, so that they are drawn on top.
      const points = [...panel.series[name]].sort((a, b) => a.headline - b.headline);
      const shape = (p) => (Math.abs(p.x) <= EDGE ? symbol(name) : p.x > 0 ? "triangle-right" : "triangle-left");
      return trace(name, points, {
        x: points.map((p) => Math.max(-EDGE, Math.min(EDGE, p.x))), y: spread(points, name, names), cliponaxis: false,
        marker: marker(name, points, shape, {
          size: points.map((p) => (p.headline ? 10 : 5)), opacity: points.map((p) => (p.headline ? 1 : 0.5)),
        }),
      });
    });
    const band = {
      type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: -BAND, x1: BAND, line: { width: 0 },
      fillcolor: style("--soft"), opacity: 0.13,
    };
    const middle = { type: "line", layer: "below", yref: "paper", y0: 0, y1: 1, x0: 0, x1: 0, line: { color: style("--soft"), width: 1 } };
    const x = axis({
      range: [-EDGE - 0.5, EDGE + 0.5], tickvals: [-6, -4, -1.96, 0, 1.96, 4, 6], ticktext: ["≤−6", "−4", "−1.96", "0", "1.96", "4", "≥6"],
      title: caption("z"), showgrid: false,
    });
    return [traces, rows(panel, names, x, [band, middle])];
  }

  function cost(panel) {
    const names = data.estimators.filter((name) => panel.series[name]);
    const all = names.flatMap((name) => panel.series[name]);
    const traces = names.map((name) => trace(name, panel.series[name], {
      x: panel.series[name].map((p) => p.x), y: spread(panel.series[name], name, names), cliponaxis: false,
    }));
    return [traces, rows(panel, names, logarithmic(all.map((p) => p.x), "time to SNR 10", duration), [])];
  }

  function draw() {
    for (const [key, make] of Object.entries({ snr, truth, cost, bias })) {
      const section = document.querySelector(`[data-figure="${key}"]`);
      const panels = data[key];
      section.querySelector(".empty").hidden = panels.length > 0;
      legend(section.querySelector(".legend"), panels);
      const box = section.querySelector(".panels");
      while (box.children.length < panels.length) {
        const figure = document.createElement("figure");
        figure.append(document.createElement("figcaption"), document.createElement("div"));
        box.append(figure);
      }
      panels.forEach((panel, index) => {
        const [caption, target] = box.children[index].children;
        caption.textContent = panel.title;
        const [traces, page] = make(panel);
        const fresh = !target.classList.contains("js-plotly-plot");
        Plotly.react(target, traces, page, { responsive: true, displayModeBar: false });
        if (fresh) target.on("plotly_click", (event) => open(event.points[0].customdata));
      });
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  fromAddress();
})();
