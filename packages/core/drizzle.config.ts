import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'mysql',
  schema: './packages/core/src/mysql/tables.ts',
  out: './packages/core/migrations',
})
