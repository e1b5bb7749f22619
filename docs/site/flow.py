"""The picture of what `explore run` does: `python docs/site/flow.py` draws results/figures/flow.svg anew."""

from __future__ import annotations

from pathlib import Path

PICTURE = Path(__file__).resolve().parents[2] / "results" / "figures" / "flow.svg"
WIDTH, HEIGHT, BOX_HEIGHT = 980, 330, 60
UPPER, LOWER = 40, 190  # rows of boxes
# Left edge, width, name, what it is, by row.
BOXES = {
    UPPER: (
        (20, 130, "model.onnx", "trained, unchanged"),
        (190, 150, "fused layers", "folding, fusing"),
        (380, 190, "candidates of every layer", "algorithm, split over QPUs, tile"),
        (610, 150, "exact composition", "with layout changes"),
        (800, 160, "plan.json", "every decision"),
    ),
    LOWER: (
        (190, 150, "sample store", "append-only"),
        (380, 190, "board", "virtual Pi Zero, host, SSH"),
        (610, 150, "check", "against onnxruntime"),
        (800, 160, "bundle", "one QPU launch + C"),
    ),
}
COLOURS = {UPPER: ("#eaf2fb", "#2b6cb0"), LOWER: ("#fdf3e3", "#b7791f")}
ARROWS = (
    "M150,70 H186", "M340,70 H376", "M570,70 H606", "M760,70 H796", "M500,100 V186", "M380,220 H344",
    "M265,190 V150 H420 V104", "M880,100 V186", "M800,220 H764", "M610,235 H574",
)  # fmt: skip
NOTES = (
    (508, 150, "the doubtful ones are measured"),
    (180, 138, "roofline x learned residual, refitted"),
    (888, 148, "compile"),
    (575, 262, "runs it"),
)
READING = "Every number says what it is: silicon, host, simulated or modelled."


def picture() -> str:
    """The SVG."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="14">',
        f'  <rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        '  <defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#445"/></marker></defs>',
    ]
    for top, boxes in BOXES.items():
        fill, stroke = COLOURS[top]
        for left, width, name, what in boxes:
            middle = left + width // 2
            lines += [
                f'  <rect x="{left}" y="{top}" width="{width}" height="{BOX_HEIGHT}" rx="8" fill="{fill}" '
                f'stroke="{stroke}" stroke-width="1.5"/>',
                f'  <text x="{middle}" y="{top + 26}" text-anchor="middle" fill="#1a202c">{name}</text>',
                f'  <text x="{middle}" y="{top + 45}" text-anchor="middle" fill="#1a202c" font-size="12">{what}</text>',
            ]
    paths = "".join(f'<path d="{arrow}"/>' for arrow in ARROWS)
    lines.append(f'  <g stroke="#445" stroke-width="1.6" fill="none" marker-end="url(#arrow)">{paths}</g>')
    lines += [f'  <text x="{x}" y="{y}" font-size="12" fill="#445">{text}</text>' for x, y, text in NOTES]
    lines.append(f'  <text x="20" y="305" font-size="13" fill="#445">{READING}</text>')
    return "\n".join((*lines, "</svg>")) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
