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

addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  measure();
  reach();
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
