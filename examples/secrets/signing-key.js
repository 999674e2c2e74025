module.exports = { key: 'not-a-secret' };
