import { fileURLToPath } from 'node:url'

import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

import { english } from '../messages/language.ts'

/** What a page brings besides what every page has. */
export interface PageContent {
  /** Without the site's name. */
  title: string
  /** Seconds after which a browser without our script loads the page again. */
  refreshSeconds?: number
  /** Whether public/app.js needs its texts here. */
  hasClientTexts?: boolean
  [name: string]: unknown
}

declare module 'fastify' {
  interface FastifyInstance {
    renderPage(reply: FastifyReply, view: string, content: PageContent): Promise<string>
  }
  interface FastifyReply {
    /** Answers with a page of views/, for this shopper's eyes only. */
    page(view: string, content: PageContent): Promise<FastifyReply>
  }
}

// views/ sits beside both src/ and dist/, so one relative path serves source and build.
const VIEWS_FOLDER = fileURLToPath(new URL('../../views', import.meta.url))

/** Pages made on the server: every value is escaped unless a template says otherwise. */
export default fp<{ keepTemplates: boolean }>(
  async (app, { keepTemplates }) => {
    await app.register(fastifyView, {
      engine: { eta: new Eta({ autoEscape: true }) },
      root: VIEWS_FOLDER,
      viewExt: 'eta',
      production: keepTemplates,
    })

    app.decorate('renderPage', (reply, view, content) => {
      const { request } = reply
      let formToken: string | undefined
      return app.view(view, {
        ...content,
        lang: english.tag,
        t: english.text,
        clientTexts: english.clientTexts,
        money: english.money,
        moment: english.moment,
        asset: app.assetUrl,
        // A request that was refused before its session was read has none.
        account: (request.session as typeof request.session | undefined)?.account,
        isAccountUnknown: (request.session as typeof request.session | undefined)?.away !== undefined,
        path: request.url.split('?', 1)[0],
        // Made once a page, and only for a page that has a form: whoever sees none gets no cookie.
        formToken: () => (formToken ??= reply.formToken()),
      })
    })

    app.decorateReply('page', async function page(this: FastifyReply, view: string, content: PageContent) {
      const html = await app.renderPage(this, view, content)
      if (content.refreshSeconds !== undefined) this.header('refresh', content.refreshSeconds)
      return this.type('text/html; charset=utf-8').header('cache-control', 'no-store').send(html)
    })
  },
  { name: 'views', dependencies: ['assets'] },
)
