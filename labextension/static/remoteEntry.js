// Four things that readers need and that JupyterLab 4.6 and ipywidgets 8.1 leave out:
// * An output's picture is drawn without the alternative text of its metadata, `{"image/png": {"alt": …}}`, which
//   IPython writes and nbconvert reads (jupyter/enhancement-proposals#120). It is put into the page.
// * A slider's handle has no name: its label stands beside it and is not tied to it. It gets the label's text.
// * Its value is told as the computer has it, -0.09999999999999876. It is told as it is shown, -0.1.
// * In a notebook that was saved with a widget and is opened again, the widget is gone: "model not found". The picture
//   that the same output carries for front ends without widgets is shown, and a line on how to bring it to life.
// Written by hand in the form that a bundler would give it, a container with `init` and `get`: there is nothing to build.
var _JUPYTERLAB = globalThis._JUPYTERLAB ?? (globalThis._JUPYTERLAB = {});

(() => {
  let lent; // the modules that JupyterLab shares with extensions: {name: {version: {get}}}

  async function borrow(name) {
    const [version] = Object.values(lent[name]);
    return (await version.get())();
  }

  function describePictures(registry) {
    for (const mimeType of ["image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"]) {
      const standard = registry.getFactory(mimeType);
      if (!standard) continue;
      const createRenderer = (options) => {
        const renderer = standard.createRenderer(options);
        const render = renderer.render.bind(renderer);
        renderer.render = async (model) => {
          await render(model);
          const alt = model.metadata[mimeType]?.alt;
          if (typeof alt === "string") renderer.node.querySelector("img")?.setAttribute("alt", alt);
        };
        return renderer;
      };
      // 90 is JupyterLab's own rank of pictures: HTML and widgets stay preferred to them.
      registry.addFactory({ safe: true, mimeTypes: [mimeType], createRenderer }, 90);
    }
  }

  function nameSliders(root) {
    for (const handle of root.querySelectorAll(".widget-inline-hbox .noUi-handle:not([aria-label])")) {
      const label = handle.closest(".widget-inline-hbox").querySelector(".widget-label")?.textContent.trim();
      if (label) handle.setAttribute("aria-label", label);
      sayValue(handle);
    }
  }

  function sayValue(handle) {
    const shown = handle.closest(".widget-inline-hbox")?.querySelectorAll(".widget-readout");
    const value = shown?.length === 1 ? shown[0].textContent.trim() : "";
    if (value && handle.getAttribute("aria-valuetext") !== value) handle.setAttribute("aria-valuetext", value);
  }

  const GONE = "Error displaying widget: model not found";

  function outputOf(node, tracker) {
    let found;
    tracker.forEach((panel) => {
      const area = panel.content.widgets.find((cell) => cell.node.contains(node))?.outputArea;
      const place = area?.widgets.findIndex((output) => output.node.contains(node)) ?? -1;
      if (place >= 0) found = area.model.get(place);
    });
    return found;
  }

  function showStill(node, tracker) {
    const output = outputOf(node, tracker);
    const png = output?.data["image/png"];
    if (!png) return;
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    image.alt = output.metadata["image/png"]?.alt ?? "";
    image.style.maxWidth = "100%";
    const words = document.createElement("p");
    words.textContent = "A picture of the widget as it begins. Run the cells above and this one to use it.";
    node.replaceChildren(words, image);
  }

  const container = {
    init: (scope) => {
      lent = scope;
    },
    get: async () => {
      const { IRenderMimeRegistry } = await borrow("@jupyterlab/rendermime");
      const { INotebookTracker } = await borrow("@jupyterlab/notebook");
      const plugin = {
        id: "aetutor-access:plugin",
        autoStart: true,
        requires: [IRenderMimeRegistry],
        optional: [INotebookTracker],
        activate: (_app, registry, tracker) => {
          describePictures(registry);
          const mend = (node) => {
            if (tracker && node.childNodes.length === 1 && node.firstChild.data === GONE) showStill(node, tracker);
          };
          const watcher = new MutationObserver((changes) => {
            for (const { target, type, addedNodes } of changes) {
              if (type === "attributes") sayValue(target);
              for (const node of addedNodes)
                if (node instanceof HTMLElement) {
                  nameSliders(node);
                  // JupyterLab takes whole cells out of the page and puts them back.
                  for (const part of node.querySelectorAll(".jp-OutputArea-output, .jp-OutputArea-output *")) mend(part);
                } else mend(target);
            }
          });
          const what = { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-valuetext"] };
          watcher.observe(document.body, what);
        },
      };
      return () => ({ __esModule: true, default: plugin });
    },
  };
  _JUPYTERLAB["aetutor-access"] = container;
})();
