interface Context {
  vars: Record<string, unknown>;
}

export async function choose(context: Context): Promise<void> {
  const product: number = 1 + Math.floor(Math.random() * 3);
  context.vars.product = product;
}
