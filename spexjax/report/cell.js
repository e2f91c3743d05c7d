// In a notebook's cell: as high as what it shows, in the notebook's colours, and in the place of the
// panel that follows for where scripts do not run.
(() => {
  const frame = window.frameElement;
  if (!frame) return;
  const host = frame.ownerDocument.body;
  if (frame.nextElementSibling) frame.nextElementSibling.hidden = true;
  const fit = () => { frame.style.height = `${Math.ceil(document.body.scrollHeight) + 2}px`; };
  new ResizeObserver(fit).observe(document.body);
  function isDark() {
    const { jpThemeLight, vscodeThemeKind, mdColorScheme } = host.dataset;
    if (jpThemeLight) return jpThemeLight === "false";
    if (vscodeThemeKind) return !vscodeThemeKind.includes("light");
    return mdColorScheme === "slate";
  }
  const theme = [...document.styleSheets[0].cssRules].find((rule) => rule.media?.mediaText.includes("color-scheme"));
  function paint() {
    const dark = isDark();
    theme.media.mediaText = dark ? "all" : "not all";
    document.documentElement.style.colorScheme = frame.style.colorScheme = dark ? "dark" : "light";
  }
  paint();
  new MutationObserver(paint).observe(host, { attributes: true });
})();
