// Light or dark: as the system is, unless this tab was told otherwise.

const KEY = "linkspan-theme";
const select = document.getElementById("theme");

function apply(theme) {
  if (theme === "") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = theme;
  }
}

/** Applies the choice of this tab, and follows it from now on. */
export function followTheme() {
  select.value = sessionStorage.getItem(KEY) ?? "";
  apply(select.value);
  select.onchange = () => {
    sessionStorage.setItem(KEY, select.value);
    apply(select.value);
  };
}
