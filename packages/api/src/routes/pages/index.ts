import type { FastifyPluginAsync } from 'fastify'

const pageRoutes: FastifyPluginAsync = async () => {
  // comes next
}

export default pageRoutes
