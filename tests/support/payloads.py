"""Text that would have an effect if a page, a formula or a terminal took it for its own."""

DO = "window.isRun=true"
PAYLOADS = {
    "a script": f"<script>{DO}</script>",
    "an image": f"<img src=x onerror={DO}>",
    "a picture": f"<svg onload={DO}></svg>",
    "a frame": f"<iframe srcdoc='<script>parent.{DO}</script>'></iframe>",
    "out of double quotes": f'"><svg onload={DO}>',
    "out of single quotes": f"' onmouseover='{DO}",
    "out of a style": f"</style></svg><style>*{{display:none}}</style><img src=x onerror={DO}>",
    "out of a comment": f"--><script>{DO}</script><!--",
    "out of a section": f"]]><script>{DO}</script>",
    "escaped already": f"&lt;script&gt;{DO}&lt;/script&gt;&#60;b&#62;",
    "a link": f"javascript:{DO}",
    "a link in Markdown": f"[W](javascript:{DO}) ![W](x) **W** _W_",
    "a link in a formula": rf"$\href{{javascript:{DO}}}{{W}}$ \(x_1\) $$x_2$$",
    "a template": "{{constructor.constructor('" + DO + "')()}} ${" + DO + "} {% " + DO + " %}",
    "the title of a terminal": "\x1b]0;isRun\x07W",
    "a cleared terminal": "\x1b[2J\x1b[1;1HW",
    "a terminal's other alphabet": "\x9b2J\x9d0;isRun\x9cW",
    "a line written over": "W is wrong\rW is right\b\b",
    "another direction": "W\u202egnp.exe\u2066\u200f",
    "nothing to be seen": "W\u200b\ufeff\u00ad\U000e0041",
    "lines": "W\r\n\r\n# W\n\x0b\x0c\x85\u2028\u2029",
    "the end of a string": "W\0W",
    "half a character": "W\ud800",
    "very long": "W" * 10_000,
}
