//! What the web pack knows of the world: three websites with their pages and goals, where visitors come from, and
//! what they browse with. Tables only; `sessions` draws from them. Domains of the sites end in .example, which nobody owns.

/// Visitors of one country.
pub struct Country {
    /// ISO 3166.
    pub code: &'static str,
    /// What most of its visitors read.
    pub language: &'static str,
    /// Its clock, without daylight saving.
    pub offset_minutes: i64,
    /// Visitors, relative to the others.
    pub share: u64,
}

const fn country(code: &'static str, language: &'static str, offset_minutes: i64, share: u64) -> Country {
    Country { code, language, offset_minutes, share }
}

pub const COUNTRIES: [Country; 20] = [
    country("US", "en", -360, 220),
    country("DE", "de", 60, 150),
    country("GB", "en", 0, 80),
    country("IN", "en", 330, 70),
    country("FR", "fr", 60, 60),
    country("BR", "pt", -180, 50),
    country("JP", "ja", 540, 45),
    country("CA", "en", -300, 35),
    country("NL", "nl", 60, 35),
    country("ES", "es", 60, 35),
    country("AU", "en", 600, 30),
    country("PL", "pl", 60, 30),
    country("IT", "it", 60, 30),
    country("SE", "sv", 60, 20),
    country("CH", "de", 60, 20),
    country("AT", "de", 60, 20),
    country("MX", "es", -360, 20),
    country("KR", "ko", 540, 20),
    country("ZA", "en", 120, 12),
    country("AR", "es", -180, 12),
];

/// How many are awake and at it, by the hour of their own clock.
pub const HOURS: [u64; 24] =
    [18, 11, 8, 7, 8, 12, 25, 45, 66, 82, 92, 96, 92, 88, 90, 90, 86, 82, 80, 84, 86, 76, 54, 32];
/// The days of a week from Monday on, per cent.
pub const WEEKDAYS: [u64; 7] = [104, 108, 108, 105, 97, 70, 74];

/// What happens. A page view is one kind of event, the others are goals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    PageView,
    AddToCart,
    Purchase,
    Signup,
    Download,
}

impl Happening {
    pub fn name(self) -> &'static str {
        match self {
            Self::PageView => "pageview",
            Self::AddToCart => "add_to_cart",
            Self::Purchase => "purchase",
            Self::Signup => "signup",
            Self::Download => "download",
        }
    }
}

/// One website.
pub struct Site {
    pub name: &'static str,
    /// New visitors, relative to the other sites.
    pub share: u64,
    /// Those who have a phone or a tablet in their hands, per mille.
    pub mobile: u64,
    /// Its pages, the most visited first. The first is where direct visitors land.
    pub pages: &'static [&'static str],
    /// What a visit may come to after two pages, and how often after each page, per mille.
    pub goal: (Happening, u64),
}

/// The shop's pages for what comes after [`Happening::AddToCart`]; both are among its pages.
pub const CART: &str = "/cart";
/// See [`CART`].
pub const CHECKOUT: &str = "/checkout";
/// The page of the blog that a launch brings everybody to.
pub const LAUNCH_PAGE: &str = "/2026/introducing-windbreak-3";
/// Its site.
pub const LAUNCH_SITE: usize = 2;
/// The shop, the only site that takes money.
pub const SHOP: usize = 0;

pub const SITES: [Site; 3] = [
    Site {
        name: "shop.example",
        share: 450,
        mobile: 610,
        goal: (Happening::AddToCart, 110),
        pages: &[
            "/",
            "/products/rain-jacket",
            "/products/trail-tent",
            "/sale",
            "/products/head-torch",
            "/products/down-quilt",
            "/products/camp-stove",
            "/search",
            "/products/hiking-poles",
            "/products/dry-bag",
            "/categories/tents",
            "/products/wool-socks",
            "/categories/jackets",
            "/products/water-filter",
            "/products/map-case",
            CART,
            "/products/folding-chair",
            "/shipping",
            "/products/sleeping-mat",
            "/products/tarp",
            CHECKOUT,
            "/products/thermos",
            "/categories/cooking",
            "/products/compass",
            "/returns",
            "/products/gaiters",
            "/products/bivouac-sack",
            "/about",
            "/products/repair-kit",
            "/products/first-aid-kit",
            "/account",
            "/imprint",
        ],
    },
    Site {
        name: "docs.example",
        share: 330,
        mobile: 210,
        goal: (Happening::Download, 35),
        pages: &[
            "/",
            "/guide/getting-started",
            "/guide/installation",
            "/reference/configuration",
            "/reference/query-language",
            "/guide/importing",
            "/reference/http",
            "/guide/first-dashboard",
            "/reference/functions",
            "/guide/backups",
            "/faq",
            "/guide/upgrading",
            "/reference/command-line",
            "/guide/retention",
            "/reference/errors",
            "/guide/funnels",
            "/changelog",
            "/guide/alerts",
            "/reference/limits",
            "/guide/time-zones",
            "/reference/types",
            "/guide/security",
            "/download",
            "/reference/file-format",
            "/community",
        ],
    },
    Site {
        name: "blog.example",
        share: 220,
        mobile: 430,
        goal: (Happening::Signup, 28),
        pages: &[
            "/",
            "/2026/one-file-is-enough",
            "/2026/what-a-page-view-costs",
            LAUNCH_PAGE,
            "/2026/counting-without-cookies",
            "/2025/how-we-test",
            "/2026/a-year-of-releases",
            "/2025/columns-and-rows",
            "/2026/time-zones-again",
            "/2025/why-sqlite",
            "/archive",
            "/2026/reading-flame-graphs",
            "/2025/small-machines",
            "/2024/hello",
            "/about",
            "/2025/the-long-tail",
        ],
    },
];

/// A way in.
pub struct Source {
    /// The site that the link was on.
    pub referrer: Option<&'static str>,
    /// The campaign.
    pub utm_source: Option<&'static str>,
    /// Visits by it, for each of [`SITES`], relative to the other ways.
    pub shares: [u64; 3],
    /// Those who land on the first page of the site, per mille; the others land deeper.
    pub home: u64,
    /// Those who go on to another page after each page, per mille.
    pub goes_on: u64,
}

const fn source(
    referrer: Option<&'static str>,
    utm_source: Option<&'static str>,
    shares: [u64; 3],
    (home, goes_on): (u64, u64),
) -> Source {
    Source { referrer, utm_source, shares, home, goes_on }
}

/// The first one is no link at all.
pub const SOURCES: [Source; 13] = [
    source(None, None, [330, 300, 190], (620, 680)),
    source(Some("google.com"), None, [270, 390, 250], (180, 600)),
    source(Some("duckduckgo.com"), None, [30, 75, 45], (180, 620)),
    source(Some("bing.com"), None, [45, 30, 20], (200, 590)),
    source(Some("github.com"), None, [0, 140, 40], (350, 690)),
    source(Some("stackoverflow.com"), None, [0, 65, 10], (20, 480)),
    source(Some("news.ycombinator.com"), None, [5, 15, 90], (60, 340)),
    source(Some("reddit.com"), None, [40, 20, 80], (90, 380)),
    source(Some("instagram.com"), Some("instagram"), [90, 0, 0], (120, 450)),
    source(None, Some("newsletter"), [95, 10, 85], (150, 640)),
    source(Some("google.com"), Some("google-ads"), [85, 0, 0], (80, 560)),
    source(Some("blog.example"), None, [35, 40, 0], (300, 700)),
    source(Some("docs.example"), None, [10, 0, 30], (250, 610)),
];
/// The way of those who come for a launch.
pub const LAUNCH_SOURCE: usize = 6;

/// What is looked at pages with: device, system, browser, and how many, relative to the others of the table.
pub type Machine = (&'static str, &'static str, &'static str, u64);

pub const DESKTOPS: [Machine; 9] = [
    ("desktop", "Windows", "Chrome", 330),
    ("desktop", "Windows", "Edge", 150),
    ("desktop", "Windows", "Firefox", 90),
    ("desktop", "macOS", "Safari", 150),
    ("desktop", "macOS", "Chrome", 120),
    ("desktop", "macOS", "Firefox", 30),
    ("desktop", "Linux", "Firefox", 70),
    ("desktop", "Linux", "Chrome", 50),
    ("desktop", "ChromeOS", "Chrome", 10),
];
pub const HANDHELDS: [Machine; 7] = [
    ("mobile", "iOS", "Safari", 400),
    ("mobile", "iOS", "Chrome", 40),
    ("mobile", "Android", "Chrome", 370),
    ("mobile", "Android", "Samsung Internet", 60),
    ("mobile", "Android", "Firefox", 30),
    ("tablet", "iPadOS", "Safari", 75),
    ("tablet", "Android", "Chrome", 25),
];
/// What robots say that they are.
pub const ROBOT: Machine = ("desktop", "Linux", "Headless Chrome", 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_fit_together() {
        let shop = &SITES[SHOP];
        assert!(shop.pages.contains(&CART) && shop.pages.contains(&CHECKOUT));
        assert!(SITES[LAUNCH_SITE].pages.contains(&LAUNCH_PAGE));
        assert!(SOURCES[LAUNCH_SOURCE].shares[LAUNCH_SITE] > 0);
        assert!(SOURCES[0].referrer.is_none() && SOURCES[0].utm_source.is_none());
        for site in &SITES {
            assert_eq!(site.pages.first(), Some(&"/"), "{}", site.name);
            let distinct: std::collections::BTreeSet<&&str> = site.pages.iter().collect();
            assert_eq!(distinct.len(), site.pages.len(), "{} has a page twice", site.name);
        }
    }

    #[test]
    fn nothing_needs_an_escape_in_json() {
        let places = SITES.iter().flat_map(|site| site.pages.iter().chain([&site.name]));
        let sources = SOURCES.iter().flat_map(|s| [s.referrer, s.utm_source]).flatten();
        let machines = DESKTOPS.iter().chain(&HANDHELDS).chain([&ROBOT]).flat_map(|m| [m.0, m.1, m.2]);
        let countries = COUNTRIES.iter().flat_map(|country| [country.code, country.language]);
        for text in places.copied().chain(sources).chain(machines).chain(countries) {
            let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            assert!(text.bytes().all(plain), "{text}");
        }
    }
}
