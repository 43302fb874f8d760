"""Write the pages of `docs/reference`: `python -m docs.generate`."""

from docs.generate.pages import FOLDER, PAGES, content


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(content(name))


if __name__ == "__main__":
    main()
