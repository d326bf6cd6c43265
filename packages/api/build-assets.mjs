import { readFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { brotliCompressSync, gzipSync } from 'node:zlib'

import { build, transform } from 'esbuild'
import { compile } from 'sass'

/*
 * What browsers get, from client/ and styles/ to dist/assets/: one script, the worker of the human check, one style
 * sheet with those parts of Bootstrap that pages use; one of each for operators. Each beside its compressed copies: there may be no proxy in
 * front that compresses.
 */

const here = new URL('./', import.meta.url)
const assets = new URL('dist/assets/', here)
/** What every browser of the last years can do; Bootstrap itself asks for more. */
const target = ['chrome109', 'firefox115', 'safari16']

const { outputFiles } = await build({
  entryPoints: ['client/app.ts', 'client/work.ts', 'client/admin.ts', 'styles/admin.css'].map(
    (path) => new URL(path, here).pathname,
  ),
  entryNames: '[name]',
  outdir: assets.pathname,
  bundle: true,
  format: 'esm',
  minify: true,
  target,
  legalComments: 'none',
  write: false,
})

const { css } = compile(new URL('styles/app.scss', here).pathname, {
  loadPaths: [new URL('node_modules/', here).pathname],
  // Bootstrap 5 is written for the module system that sass is about to leave behind.
  quietDeps: true,
  silenceDeprecations: ['import'],
})
const { code } = await transform(css, { loader: 'css', minify: true, target, legalComments: 'none' })

mkdirSync(assets, { recursive: true })
for (const { path, contents } of outputFiles) write(path, contents)
write(new URL('app.css', assets).pathname, Buffer.from(code))

/**
 * @param {string} path
 * @param {Uint8Array} content
 */
function write(path, content) {
  // A file that is the same stays the same: processes may be reading it.
  if (isSame(path, content)) return
  writeFileSync(path, content)
  writeFileSync(`${path}.br`, brotliCompressSync(content))
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }))
}

/**
 * @param {string} path
 * @param {Uint8Array} content
 */
function isSame(path, content) {
  try {
    readFileSync(`${path}.gz`)
    return readFileSync(path).equals(content)
  } catch {
    return false
  }
}
