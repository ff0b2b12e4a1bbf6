// A page from a folder, not from a server, may not read other pages: search without the lines around each hit.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A formula's own width, in ex: course.css makes it smaller where that helps it to fit, on a phone and on paper.
function measure() {
  for (const formula of document.querySelectorAll("mjx-container[display]")) {
    const svg = formula.querySelector("svg");
    formula.style.setProperty("--wide", parseFloat(svg.style.minWidth || svg.getAttribute("width")));
  }
}

// What is still wider than its place scrolls in itself; with the keyboard it can do so only if the Tab key reaches it.
function reach() {
  for (const part of document.querySelectorAll("div.math, .cell_output .output, .cell_output .text_html")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
}

// On a phone a row of a table of claims stands as lines: each says what its column is called.
function head() {
  for (const table of document.querySelectorAll("table.claims, .cell_output table:has(th[scope=col])")) {
    const names = [...table.querySelectorAll("thead th")].map((name) => name.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((cell, place) => {
        const said = cell.textContent.trim() && !["claim", "holds", "#", "statement"].includes(names[place]);
        if (said) cell.dataset.head = names[place];
      });
  }
}

// A figure opens in its own size: on a phone, its letters are too small to read.
function enlarge() {
  for (const image of document.querySelectorAll(".cell_output img")) {
    if (image.closest("a")) continue;
    const link = document.createElement("a");
    Object.assign(link, { href: image.getAttribute("src"), className: "larger", title: "Open the figure in its own size" });
    image.replaceWith(link);
    link.append(image);
  }
}

// From the search page one lands where the word is. Sphinx marks it only on pages that did not load the search.
function found() {
  if (document.getElementById("search-results") || typeof SphinxHighlight === "undefined") return;
  SphinxHighlight.highlightSearchWords();
  const show = () => document.querySelector("article .highlighted")?.scrollIntoView({ block: "center" });
  if (!location.hash) setTimeout(show, 300); // Sphinx marks the words a moment later
}

addEventListener("load", async () => {
  head();
  enlarge();
  await window.MathJax?.startup?.promise;
  measure();
  reach();
  found();
});
addEventListener("resize", reach);

// Paper is white, whatever the theme.
let theme;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
});
