import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import fastifyStatic from '@fastify/static'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** The address of a file together with its version, so that browsers may keep it for ever. */
    assetUrl: (path: string) => string
  }
}

// Both sit beside src/ and dist/, so one relative path serves source and build.
const FOLDERS = ['../../public', '../../dist/assets'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)
const PREFIX = '/assets/'
const COMPRESSED = /\.(?:br|gz)$/

/** Pictures of public/, and what build-assets.mjs made of client/ and styles/; nothing else can be reached. */
export default fp(
  async (app) => {
    const versions = new Map<string, string>()
    for (const folder of FOLDERS) {
      if (!existsSync(folder)) throw new Error(`${folder} is missing: run pnpm build`)
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || COMPRESSED.test(entry.name)) continue
        const path = `${entry.parentPath}/${entry.name}`
        versions.set(PREFIX + path.slice(folder.length + 1), versionOf(readFileSync(path)))
      }
    }

    app.decorate('assetUrl', (path) => {
      const version = versions.get(path)
      return version ? `${path}?v=${version}` : path
    })

    await app.register(async (assets) => {
      assets.addHook('onRequest', (request, reply, done) => {
        const [path = '', query] = request.url.split('?')
        // During a deployment the page may come from a newer process than the file: what is not of this version
        // must not be kept under its name.
        const isThisVersion = query === `v=${versions.get(path)}`
        reply.header(
          'cache-control',
          isThisVersion ? 'public, max-age=31536000, immutable' : 'public, max-age=60',
        )
        done()
      })
      // One route per file that is there at the start: no path of a request ever reaches the file system.
      await assets.register(fastifyStatic, {
        root: FOLDERS,
        prefix: PREFIX,
        wildcard: false,
        globIgnore: ['**/*.br', '**/*.gz'],
        preCompressed: true,
        cacheControl: false,
        decorateReply: false,
        index: false,
      })
    })
  },
  { name: 'assets' },
)

function versionOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('base64url').slice(0, 10)
}
