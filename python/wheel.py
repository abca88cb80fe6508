#!/usr/bin/env python3
"""wheel.py LIBRARY FOLDER - writes the wheel of the package gossamer, with LIBRARY in it, into FOLDER, and prints its path.

A wheel is a zip with three files that describe it; the standard library is enough. The same inputs give the same bytes.
Its name says which systems it is for: on Linux, those whose glibc is at least the newest that the library asks for."""
import base64, hashlib, platform, re, sys, zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
METADATA = """Metadata-Version: 2.4
Name: gossamer-llm
Version: {version}
Summary: Runs gpt-oss and llama GGUF models in this process
License-Expression: Apache-2.0
License-File: LICENSE
Requires-Python: >=3.9
Description-Content-Type: text/markdown

"""
WHEEL = "Wheel-Version: 1.0\nGenerator: gossamer wheel.py\nRoot-Is-Purelib: false\nTag: py3-none-{tag}\n"

def system(library):
    """The platform's tag for what this library needs."""
    machine = platform.machine()
    if sys.platform == "darwin": return f"macosx_11_0_{machine}"
    glibc = [(int(a), int(b)) for a, b in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", library)]
    return "manylinux_%d_%d_%s" % (*max(glibc), machine) if glibc else f"linux_{machine}"

def files(library, version, tag):
    package = HERE / "gossamer"
    found = {f"gossamer/{p.name}": p.read_bytes() for p in sorted(package.iterdir()) if p.suffix in (".py", ".typed")}
    found["gossamer/libgossamer." + ("dylib" if sys.platform == "darwin" else "so")] = library
    info = f"gossamer_llm-{version}.dist-info"
    found[f"{info}/METADATA"] = METADATA.format(version=version).encode() + (HERE / "README.md").read_bytes()
    found[f"{info}/WHEEL"] = WHEEL.format(tag=tag).encode()
    found[f"{info}/licenses/LICENSE"] = (HERE.parent / "LICENSE").read_bytes()
    return found, info

def record(found, info):
    def line(name, data):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(data)}\n"
    return "".join(line(n, d) for n, d in found.items()) + f"{info}/RECORD,,\n"

def main(library, folder):
    data = Path(library).read_bytes()
    version = re.search(r'__version__ = "([^"]+)"', (HERE / "gossamer/__init__.py").read_text()).group(1)
    tag = system(data)
    found, info = files(data, version, tag)
    found[f"{info}/RECORD"] = record(found, info).encode()
    path = Path(folder) / f"gossamer_llm-{version}-py3-none-{tag}.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in found.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = (0o755 if "/libgossamer." in name else 0o644) << 16, zipfile.ZIP_DEFLATED
            z.writestr(entry, content)
    print(path)

if __name__ == "__main__":
    if len(sys.argv) != 3: sys.exit(__doc__)
    main(*sys.argv[1:])
