// Which rows a caller sees: the filter on every entity that belongs to a user.

/** Whose rows a caller may see. There is no default: leaving it out is an error, not everything. */
export type Owner = { readonly userId: string } | { readonly everyone: true };

/**
 * On by default. MikroORM throws when a query runs without the parameter, so a forgotten owner fails instead of leaking. A caller that may
 * see everything passes `{ everyone: true }`.
 */
export const ownerFilter = {
  name: 'owner',
  default: true,
  cond: (owner: Partial<{ userId: string; everyone: true }>) => {
    if (owner.everyone === true) return {};
    if (owner.userId === undefined || owner.userId === '') throw new Error('The owner filter needs a user id or everyone');
    return { userId: owner.userId };
  },
};
