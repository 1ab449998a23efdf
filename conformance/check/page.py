"""Opens the HTML report of keyturn check in headless Chromium: it must draw, and ask nobody for anything.

    python check_page.py REPORT PICTURE

Writes PICTURE, a PNG, for a person to look at. Needs Chromium, which Debian has as a package. The exit status is 1 if anything is wrong.
"""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.parse
import zlib

WIDTH, HEIGHT = 1400, 2200
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={WIDTH},{HEIGHT}",
]  # fmt: skip


# What the browser itself asks for on every start; nobody is reached.
OWN = ("clients2.google.com", "update.googleapis.com", "accounts.google.com")


def requests(log):
    """The URLs that a net log has requests for, but for the page's own and those of the browser itself."""
    text = log.read_text(encoding="utf-8")
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:  # Chromium may end before it has closed the list
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    urls = {e["params"]["url"] for e in events if "url" in e.get("params", {})}
    urls = {u for u in urls if not u.startswith(("file://", "chrome", "devtools:", "data:", "about:", "blob:"))}
    return sorted(u for u in urls if urllib.parse.urlsplit(u).hostname not in OWN)


def colours(png):
    """The size of a picture and how many different pixels a sample of its rows has. Reads what Chromium writes: 8 bits, RGB or RGBA."""
    data, at, body = png.read_bytes(), 8, b""
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and depth == 8 and kind in (2, 6), "not the PNG that Chromium writes"
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            body += data[at + 8 : at + 8 + size]
        at += size + 12
    rows, stride = zlib.decompress(body), width * (3 if kind == 2 else 4) + 1
    return width, height, len({rows[i : i + stride] for i in range(0, len(rows), stride * 7)})


def main():
    report, picture = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("Chromium is not installed (on Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, "net.json")
        subprocess.run(
            [chromium, *FLAGS, f"--user-data-dir={folder}/profile", f"--log-net-log={log}", f"--screenshot={picture}", report.as_uri()],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        asked = requests(log)
    if asked:
        sys.exit(f"the page asks for {asked}")
    width, height, rows = colours(picture)
    if (width, height) != (WIDTH, HEIGHT) or rows < 50:
        sys.exit(f"the picture is {width} x {height} with {rows} different rows: nothing was drawn")
    print(f"drawn without a request: {width} x {height}, {rows} different rows in the sample")


if __name__ == "__main__":
    main()
