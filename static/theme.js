// In the head, before anything is drawn: the theme that was chosen, if one was.
{
  const theme = localStorage.getItem("pgmon-theme");
  if (theme) document.documentElement.dataset.theme = theme;
}
