const { orderNumber } = require('./orders.js');

function makeOrder(context, events, done) {
  context.vars.order = orderNumber();
  events.emit('counter', 'orders.made', 1);
  done();
}

module.exports = { makeOrder };
