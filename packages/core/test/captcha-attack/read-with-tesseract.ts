import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { framed, type Ink } from './ink.ts'

const TESSERACT = process.env.TESSERACT_PATH || '/usr/bin/tesseract'
/** White around the text, without which its first and last letters are often missed. */
const MARGIN_PX = 10

/**
 * What tesseract reads: a line of text, of these letters, which is no word.
 *
 * All pictures in one run: it takes a list of files and ends each page with a form feed.
 */
export async function readWithTesseract(inks: Ink[], alphabet: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'captcha-attack-'))
  try {
    const files = await Promise.all(
      inks.map(async (ink, at) => {
        const file = join(folder, `${at}.pgm`)
        await writeFile(file, pgmOf(framed(ink, MARGIN_PX)))
        return file
      }),
    )
    return await readPages(files, join(folder, 'list'), alphabet)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Now and then it crashes over a picture and takes the rest of its list along: that one is not read, the others are. */
async function readPages(files: string[], list: string, alphabet: string): Promise<string[]> {
  await writeFile(list, files.join('\n'))
  const settings = [`tessedit_char_whitelist=${alphabet}`, 'load_system_dawg=0', 'load_freq_dawg=0']
  try {
    const { stdout } = await promisify(execFile)(
      TESSERACT,
      [list, '-', '--dpi', '300', '--psm', '7', ...settings.flatMap((setting) => ['-c', setting])],
      { maxBuffer: 16 * 1024 * 1024, env: { ...process.env, OMP_THREAD_LIMIT: '1' } },
    )
    return stdout
      .split('\f')
      .slice(0, files.length)
      .map((page) => page.replaceAll(/\s/g, ''))
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') throw error
    if (files.length === 1) return ['']
    const half = Math.ceil(files.length / 2)
    return [
      ...(await readPages(files.slice(0, half), list, alphabet)),
      ...(await readPages(files.slice(half), list, alphabet)),
    ]
  }
}

function pgmOf({ width, height, cells }: Ink): Buffer {
  return Buffer.concat([
    Buffer.from(`P5\n${width} ${height}\n255\n`),
    cells.map((cell) => (cell === 1 ? 0 : 255)),
  ])
}
