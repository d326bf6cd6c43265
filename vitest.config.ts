import { defineConfig } from 'vitest/config'

const fromSource = { conditions: ['blitzbuy-source', 'node', 'import', 'module', 'default'] }

/** Projects by cost; the stores that `integration` and `e2e` need are started once a run by test/services.ts. */
export default defineConfig({
  test: {
    projects: [
      {
        resolve: fromSource,
        ssr: { resolve: fromSource },
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts'],
        },
      },
      {
        resolve: fromSource,
        ssr: { resolve: fromSource },
        test: {
          name: 'integration',
          include: ['packages/*/test/**/*.test.ts'],
          globalSetup: './test/services.ts',
          testTimeout: 15_000,
          hookTimeout: 30_000,
        },
      },
      {
        resolve: fromSource,
        ssr: { resolve: fromSource },
        test: {
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          globalSetup: './test/services.ts',
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
