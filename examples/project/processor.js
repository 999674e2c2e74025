const { next } = require('./catalogue.js');

function choose(context, events, done) {
  context.vars.choice = next(context.vars.product);
  events.emit('counter', 'orders.made', 1);
  done();
}

module.exports = { choose };
