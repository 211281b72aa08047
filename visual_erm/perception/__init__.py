"""What is in a picture: text, panels and marks as plain data, for the local judge and for the guards.

    see(picture: PIL RGB image, read: ReadLines) -> Seen

`read` gets crops of one line of text each and gives back their texts: `Ocr().lines`, or `unread` when only the places of
the text matter. Pure: one picture in, one value out; bounded in time and size whatever the picture shows.
"""

from visual_erm.perception.look import ReadLines, see, unread
from visual_erm.perception.seen import Box, Colour, Mark, Panel, Seen, Text

__all__ = ["Box", "Colour", "Mark", "Panel", "ReadLines", "Seen", "Text", "see", "unread"]
