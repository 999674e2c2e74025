let last = 0;

module.exports = { orderNumber: () => `order-${(last += 1)}` };
