/* SPDX-License-Identifier: MIT */

/* The pages that are baked into the fixture. */

#include "fixture_parts.h"

/* pattern.bin: its length and its seed. */
#define PATTERN_BIN_BYTES 70000
#define PATTERN_BIN_SEED 7

static unsigned char pattern_bin[PATTERN_BIN_BYTES];

void fixture_make_pages(void)
{
  size_t i;

  for (i = 0; i < sizeof(pattern_bin); i++) {
    pattern_bin[i] = (unsigned char) ((i + PATTERN_BIN_SEED) % PATTERN_PERIOD);
  }
}

#define ROOT_INDEX "<!doctype html><title>root</title>\n"
#define DIR_INDEX "<!doctype html><title>dir</title>\n"
/* 2026-01-01 00:00:00 UTC; the image's clock is set to a later time (init_fixture.c). */
#define MODIFIED 1767225600u
#define TEXT_PAGE(path, text) { path, NULL, text, sizeof(text) - 1, NULL, 0, NULL, MODIFIED }
#define TYPE_PAGE(suffix) TEXT_PAGE("/types/a." suffix, "a." suffix)

/* The first table of "The site" in FIXTURE.md. */
const capuchin_page fixture_pages[FIXTURE_PAGES] = {
  TEXT_PAGE("/", ROOT_INDEX),
  TEXT_PAGE("/index.html", ROOT_INDEX),
  TEXT_PAGE("/plain.txt", "0123456789abcdefghijklmnopqrstuvwxyz"),
  TEXT_PAGE("/empty.txt", ""),
  { "/pattern.bin", NULL, pattern_bin, sizeof(pattern_bin), NULL, 0, NULL, MODIFIED },
  TEXT_PAGE("/dir/", DIR_INDEX),
  TEXT_PAGE("/dir/index.html", DIR_INDEX),
  TEXT_PAGE("/dir/file.txt", "in dir\n"),
  TEXT_PAGE("/bare/file.txt", "in bare\n"),
  TYPE_PAGE("html"),
  TYPE_PAGE("css"),
  TYPE_PAGE("js"),
  TYPE_PAGE("json"),
  TYPE_PAGE("svg"),
  TYPE_PAGE("png"),
  TYPE_PAGE("jpg"),
  TYPE_PAGE("txt"),
  TYPE_PAGE("wasm"),
  TYPE_PAGE("pdf"),
  TYPE_PAGE("woff2"),
  TYPE_PAGE("unknownsuffix"),
};
