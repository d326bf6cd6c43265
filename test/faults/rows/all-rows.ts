import { apiRows } from './api-rows.ts'
import { overloadRow } from './overload-row.ts'
import type { Row } from './row.ts'
import { saleRows } from './sale-rows.ts'
import { storeRows } from './store-rows.ts'
import { workerRows } from './worker-rows.ts'

export const allRows: readonly Row[] = [...apiRows, overloadRow, ...workerRows, ...saleRows, ...storeRows]
