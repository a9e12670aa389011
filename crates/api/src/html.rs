//! What every page for people has in common: the frame, the look, and how text gets into it. No script anywhere.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// The address of the style.
pub(crate) const STYLE_PATH: &str = "/assets/page.css";

/// A whole page. `content` is markup; what comes from outside went through [`escape`].
pub(crate) fn page(status: StatusCode, title: &str, content: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title} · Lockgate</title>\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\"></head>\
         <body><main><h1>{title}</h1>{content}</main></body></html>"
    );
    (status, Html(html)).into_response()
}

/// The style of the pages.
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// Text inside an element or a quoted attribute. Characters that hide or reorder text are shown as what they are, so that a
/// statement reads as it will run.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}') =>
            {
                out.push_str(&format!("[U+{:04X}]", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 46rem; margin: 3rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
pre { padding: .9rem 1rem; border: 1px solid GrayText; border-radius: .5rem; overflow: auto; max-height: 24rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; } dt { font-weight: 600; } dd { margin: 0;
  overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin-top: 1rem; }
input { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; border: 1px solid GrayText; border-radius: .4rem; }
button { padding: .6rem 1.2rem; font: inherit; font-weight: 600; border: 0; border-radius: .4rem; background: #175cd3;
  color: #fff; cursor: pointer; }
button.deny { background: #b42318; }
:focus-visible { outline: 3px solid #f79009; outline-offset: 2px; }
a { color: LinkText; }
a.button { display: inline-block; padding: .6rem 1.2rem; font-weight: 600; border-radius: .4rem; background: #175cd3; color: #fff;
  text-decoration: none; } ul.choices { list-style: none; padding: 0; display: grid; gap: .75rem; justify-items: start; }
button.plain { background: none; border: 1px solid GrayText; color: CanvasText; }
form.inline { display: inline; } p.buttons { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.5rem; }
.code { font: 600 1.8rem/1.4 ui-monospace, monospace; letter-spacing: .12em; } .who { font-size: .95rem; }
.alert { border-left: 4px solid #b42318; padding-left: 1rem; } .said { border-left: 4px solid #067647; padding-left: 1rem; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_mislead() {
        for (text, shown) in [
            ("<script>", "&lt;script&gt;"),
            ("a\"b'&", "a&quot;b&#39;&amp;"),
            ("x\u{202e}y", "x[U+202E]y"),
            ("\0\u{200b}", "[U+0000][U+200B]"),
            ("two\nlines", "two\nlines"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }
}
