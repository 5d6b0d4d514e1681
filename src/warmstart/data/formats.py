"""Which bytes are which picture format. The content decides; an extension only saves a look into the file.

`sniff` names the format of a file from its first `SNIFF_BYTES` bytes. Signatures are those of the formats' own
specifications; the ISO base media brands (HEIC, AVIF, CR3) are in ISO/IEC 14496-12 §4.3 and the MP4 registration authority's
list.
"""

import re

SNIFF_BYTES = 512

READABLE = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "pnm", "jpeg-2000", "avif")

# A file with one of these extensions is listed as a picture without being opened.
PICTURE_EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"),
    }
)

_TO_JPEG = "convert it to JPEG or PNG first, for example with ImageMagick: magick mogrify -format jpg"

# Recognised so that the message can name the cure, not just 'cannot identify image file'.
UNREADABLE = {
    "heic": f"{_TO_JPEG} *.heic",
    "jpeg-xl": f"{_TO_JPEG} *.jxl",
    "svg": "it holds shapes, not pixels: draw it at a size of your choice, for example: magick mogrify -format png *.svg",
    "pdf": "it is a document: export its pages or pictures, for example: pdftoppm -png file.pdf page",
    "postscript": "it is a document: export it as PNG, for example: magick mogrify -format png *.eps",
    "photoshop": "export it as PNG or TIFF from the program that made it",
    "camera-raw": "develop it to JPEG or 16-bit TIFF first, for example: darktable-cli file.raw file.jpg",
    "dicom": "export the frames you need as 16-bit PNG, with the window your field uses",
    "openexr": "tone-map it to 8 or 16 bits, for example: magick mogrify -format png *.exr",
    "icon": "export the largest size in it as PNG, for example: magick file.ico file.png",
    "video": "extract frames first, for example: ffmpeg -i clip.mp4 -vf fps=1 frame%05d.png",
}

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"\xff\xd8\xff", "jpeg"),
        (rb"\x89PNG\r\n\x1a\n", "png"),
        (rb"RIFF....WEBP", "webp"),
        (rb"GIF8[79]a", "gif"),
        # 'BM' alone begins many a text; the size of the second header, at byte 14, has few legal values.
        (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "bmp"),
        # Canon CR2, Olympus and Panasonic look like TIFF until here; DNG, NEF and ARW are found out by their tags (decoding).
        (rb"II\*\0....CR\x02|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb", "camera-raw"),
        (rb"II[*+]\0|MM\0[*+]", "tiff"),
        (rb"P[1-6]\s+[#\d]", "pnm"),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", "jpeg-2000"),
        (rb"....ftypcrx ", "camera-raw"),
        # 'mif1' and 'msf1' stand for both families; the list of compatible brands tells which.
        (rb"....ftyp(?:avi[fs]|m[is]f1.{4,56}?avi[fs])", "avif"),
        (rb"....ftyp(?:he[iv][cxms]|m[is]f1)", "heic"),
        (rb"....ftyp", "video"),
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "jpeg-xl"),
        (rb"RIFF....AVI |\x1a\x45\xdf\xa3", "video"),
        (rb"%PDF-", "pdf"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "postscript"),
        (rb"8BPS", "photoshop"),
        (rb".{128}DICM", "dicom"),
        (rb"\x76\x2f\x31\x01", "openexr"),
        (rb"\0\0[\x01\x02]\0[^\0]\0", "icon"),
        (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE svg[^>]*>|\s)*<svg[\s>]", "svg"),
    )
)


def sniff(start: bytes) -> str | None:
    """The format of a file that begins with ``start``: one of `READABLE`, a key of `UNREADABLE`, or None for anything else."""
    for pattern, name in _SIGNATURES:
        if pattern.match(start):
            return name
    return None
