import { Type } from 'typebox'

export const SaleAnswer = Type.Object({
  saleId: Type.Integer(),
  title: Type.String(),
  description: Type.String(),
  imageUrl: Type.String(),
  priceCents: Type.Integer(),
  listPriceCents: Type.Integer(),
  currency: Type.String(),
  opensAt: Type.String(),
  opensAtMs: Type.Integer(),
  closesAt: Type.String(),
  closesAtMs: Type.Integer(),
  phase: Type.Enum(['upcoming', 'open', 'sold_out', 'paused', 'ended']),
  quota: Type.Integer(),
  claimedPercent: Type.Integer(),
  fewLeft: Type.Boolean(),
  unitsPerUser: Type.Integer(),
  unitsMayReturnUntilMs: Type.Optional(Type.Integer()),
  nowMs: Type.Integer(),
})

export const SaleListAnswer = Type.Object({ sales: Type.Array(SaleAnswer), nowMs: Type.Integer() })

export const ViewerAnswer = Type.Object({
  viewerState: Type.String(),
  orderId: Type.Optional(Type.String()),
  token: Type.Enum(['none', 'held', 'exhausted']),
  purchaseToken: Type.Optional(Type.String()),
  notBeforeMs: Type.Optional(Type.Integer()),
  expiresAtMs: Type.Optional(Type.Integer()),
  retryAfterMs: Type.Optional(Type.Integer()),
  nowMs: Type.Integer(),
})
