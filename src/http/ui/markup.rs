//! HTML in the making. What stands in the program goes in as it is, and nothing else can: everything else is escaped, so
//! that no name or value of a dataset is ever read as a tag.

/// Some HTML.
#[derive(Debug, Default)]
pub struct Markup {
    html: String,
}

impl Markup {
    /// Adds tags, which stand in the program.
    pub fn tags(&mut self, tags: &'static str) -> &mut Self {
        self.html.push_str(tags);
        self
    }

    /// Adds a text, between tags or between the double quotes of an attribute.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                // no browser may see these; line ends and tabs are text
                control if control.is_control() && !matches!(control, '\n' | '\t') => {
                    self.html.push('\u{fffd}')
                }
                other => self.html.push(other),
            }
        }
        self
    }

    /// Adds HTML that was made apart.
    pub fn add(&mut self, other: &Self) -> &mut Self {
        self.html.push_str(&other.html);
        self
    }

    /// The HTML.
    pub fn into_string(self) -> String {
        self.html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_never_ends_its_place() {
        let mut markup = Markup::default();
        markup.tags("<a title=\"").text("\"><script>alert('x')</script>&\u{0}\u{1b}").tags("\">");
        assert_eq!(
            markup.into_string(),
            "<a title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{fffd}\u{fffd}\">"
        );
    }
}
