// What is wrong with how the page looks, as sentences; none where nothing is. Runs in the page.
const wrong = [];
const name = (element) => `${element.tagName.toLowerCase()}.${element.className.baseVal ?? element.className} "${element.textContent.trim().slice(0, 40)}"`;
const visible = (element) => element.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
const box = (element) => element.getBoundingClientRect();

// Nothing is wider than the window but what has a scroll bar of its own.
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) wrong.push(`the page is ${document.documentElement.scrollWidth} wide in a window of ${width}`);

// No text is cut off by what it stands in.
for (const element of document.querySelectorAll("p, h1, h2, h3, dt, dd, small, td, th, li, a, summary, figcaption, pre, button")) {
  if (!visible(element)) continue;
  const style = getComputedStyle(element);
  const clips = ["hidden", "clip"].includes(style.overflowX) || style.textOverflow === "ellipsis";
  if (clips && element.scrollWidth > element.clientWidth + 1) wrong.push(`cut: ${name(element)}`);
}
for (const cell of document.querySelectorAll("td, th, dd, dt")) {
  if (visible(cell) && cell.scrollWidth > cell.clientWidth + 1 && getComputedStyle(cell).display !== "inline") wrong.push(`runs out of its cell: ${name(cell)}`);
}

// Within a figure no text leaves the drawing, and no two texts lie on each other.
for (const svg of document.querySelectorAll(".figure svg, .graph svg")) {
  if (!visible(svg) || svg.classList.contains("swatch")) continue;
  const outer = box(svg);
  const texts = [...svg.querySelectorAll("text")].filter(visible).map((text) => [text, box(text)]);
  texts.forEach(([text, one], index) => {
    if (one.left < outer.left - 1 || one.right > outer.right + 1 || one.top < outer.top - 1 || one.bottom > outer.bottom + 1)
      wrong.push(`leaves its figure: ${name(text)} in ${svg.getAttribute("aria-label").slice(0, 60)}`);
    for (const [other, two] of texts.slice(index + 1)) {
      const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
      const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
      if (across > 2 && down > 4) wrong.push(`overlap: ${name(text)} and ${name(other)} in ${svg.getAttribute("aria-label").slice(0, 60)}`);
    }
  });
}

// Texts of the page do not lie on each other.
const blocks = [...document.querySelectorAll("main p, main h2, main h3, main dt, main dd, main figcaption, main td, main th, main .key li")].filter(visible);
const written = (element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getBoundingClientRect();
};
const lines = blocks.map((element) => [element, written(element)]).filter(([, area]) => area.width && area.height);
lines.sort((a, b) => a[1].top - b[1].top);
lines.forEach(([element, one], index) => {
  for (const [other, two] of lines.slice(index + 1)) {
    if (two.top >= one.bottom - 2) break;
    const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
    if (across > 2 && !element.contains(other) && !other.contains(element) && element.closest(".scroll") === other.closest(".scroll"))
      wrong.push(`overlap: ${name(element)} and ${name(other)}`);
  }
});
return wrong;
