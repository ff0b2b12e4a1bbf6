// Two things that a screen reader needs and that JupyterLab 4.6 and ipywidgets 8.1 leave out:
// * An output's picture is drawn without the alternative text of its metadata, `{"image/png": {"alt": …}}`, which
//   IPython writes and nbconvert reads (jupyter/enhancement-proposals#120). It is put into the page.
// * A slider's handle has no name: its label stands beside it and is not tied to it. It gets the label's text.
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
    }
  }

  const container = {
    init: (scope) => {
      lent = scope;
    },
    get: async () => {
      const { IRenderMimeRegistry } = await borrow("@jupyterlab/rendermime");
      const plugin = {
        id: "aetutor-access:plugin",
        autoStart: true,
        requires: [IRenderMimeRegistry],
        activate: (_app, registry) => {
          describePictures(registry);
          const watcher = new MutationObserver((changes) => {
            for (const { addedNodes } of changes)
              for (const node of addedNodes) if (node instanceof HTMLElement) nameSliders(node);
          });
          watcher.observe(document.body, { childList: true, subtree: true });
        },
      };
      return () => ({ __esModule: true, default: plugin });
    },
  };
  _JUPYTERLAB["aetutor-access"] = container;
})();
