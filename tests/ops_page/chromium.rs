//! The operations page in a real, headless browser: Debian's chromium, driven by its own protocol.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chromiumoxide::Page;
use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::emulation::{MediaFeature, SetDeviceMetricsOverrideParams};
use chromiumoxide::cdp::browser_protocol::page::{SetWebLifecycleStateParams, SetWebLifecycleStateState};
use chromiumoxide::page::ScreenshotParams;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// A test that waits longer waits for nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one tab; ended with everything it left when it is dropped.
pub(crate) struct Chromium {
    browser: Browser,
    page: Page,
    driving: tokio::task::JoinHandle<()>,
    _profile: TempDir,
}

/// The browser's program: `ORDERHOOK_TEST_CHROMIUM`, or what is installed.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("ORDERHOOK_TEST_CHROMIUM") {
        return program.into();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|program| program.is_file())
        .expect("no chromium is installed: run the tests with `make test`, or set ORDERHOOK_TEST_CHROMIUM")
}

impl Chromium {
    /// Starts the browser with an empty tab.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::Builder::new()
            .prefix("orderhook-chromium-")
            .tempdir()
            .unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(program())
            // A container and root have no sandbox to offer; the only pages are our own.
            .no_sandbox()
            .arg("disable-dev-shm-usage")
            .user_data_dir(profile.path())
            .launch_timeout(PATIENCE)
            .request_timeout(PATIENCE)
            .viewport(None)
            .build()
            .unwrap();
        let (browser, mut handler) = Browser::launch(config).await.unwrap();
        // A message that the driver does not know is no reason to stop driving.
        let driving = tokio::spawn(async move { while handler.next().await.is_some() {} });
        let page = browser.new_page("about:blank").await.unwrap();
        page.evaluate_on_new_document(
            "window.faults = []; \
             addEventListener('error', (event) => faults.push(String(event.message))); \
             addEventListener('unhandledrejection', (event) => faults.push(String(event.reason))); \
             addEventListener('securitypolicyviolation', (event) => faults.push(event.violatedDirective));",
        )
        .await
        .unwrap();
        Self {
            browser,
            page,
            driving,
            _profile: profile,
        }
    }

    /// Opens an address.
    pub(crate) async fn open(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// The reader's clock is so many hours ahead, in everything that is opened from now on.
    pub(crate) async fn clock_ahead(&self, hours: i64) {
        let script = format!(
            "(() => {{ const Real = Date, ahead = {hours} * 3600e3; \
             window.Date = class extends Real {{ \
                 constructor(...given) {{ if (given.length) super(...given); else super(Real.now() + ahead); }} \
                 static now() {{ return Real.now() + ahead; }} }}; }})()"
        );
        self.page.evaluate_on_new_document(script).await.unwrap();
    }

    /// Makes the window so wide, light or dark.
    pub(crate) async fn look_like(&self, width: i64, height: i64, scheme: &str) {
        let metrics = SetDeviceMetricsOverrideParams::new(width, height, 1.0, width < 600);
        self.page.execute(metrics).await.unwrap();
        let scheme = MediaFeature::new("prefers-color-scheme", scheme);
        self.page.emulate_media_features(vec![scheme]).await.unwrap();
    }

    /// Freezes the tab, as browsers do with those in the background, or wakes it again.
    pub(crate) async fn frozen(&self, frozen: bool) {
        let state = if frozen {
            SetWebLifecycleStateState::Frozen
        } else {
            SetWebLifecycleStateState::Active
        };
        self.page.execute(SetWebLifecycleStateParams::new(state)).await.unwrap();
    }

    /// What an expression of JavaScript is.
    pub(crate) async fn value<T: DeserializeOwned>(&self, expression: &str) -> T {
        let evaluated = self.page.evaluate(expression).await;
        let evaluated = evaluated.unwrap_or_else(|error| panic!("{expression}: {error}"));
        evaluated
            .into_value()
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true, and returns how long that took.
    pub(crate) async fn until(&self, expression: &str) -> Duration {
        let began = Instant::now();
        while !self.value::<bool>(expression).await {
            if began.elapsed() > PATIENCE {
                let shown: String = self.value("document.body.innerText").await;
                panic!("never true: {expression}\n{shown}");
            }
            // A look is a round trip of its own; the page needs the processor more than we do.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    }

    /// Keeps a picture of the whole page where `ORDERHOOK_TEST_SCREENSHOTS` says, if it does.
    pub(crate) async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("ORDERHOOK_TEST_SCREENSHOTS") {
            let path = PathBuf::from(folder).join(format!("page-{name}.png"));
            let params = ScreenshotParams::builder().full_page(true).build();
            self.page.save_screenshot(params, path).await.unwrap();
        }
    }

    /// What went wrong in the page so far.
    pub(crate) async fn faults(&self) -> Vec<String> {
        self.value("window.faults").await
    }

    /// Ends the browser.
    pub(crate) async fn end(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
        self.driving.abort();
    }
}
