"""Write the pages of `docs/reference`: `python -m docs.generate`."""

from docs.generate.pages import FOLDER, pages


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
